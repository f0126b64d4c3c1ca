/** The solution path: the share of each pair's units in the support, over the steps of the search. Pure. */
import type { LineSeriesOption } from 'echarts/charts';
import {
  type ChartOption,
  frameOf,
  lowerAxisOf,
  sideAxisOf,
  tooltipOf,
} from '../../../schema/page/chart-frame.ts';
import { short } from '../../../schema/page/numbers.ts';
import type { PageContent, ShownPair } from '../page-content.ts';
import type { ReportPalette } from './palette.ts';
import { lineTypeOf } from './strokes.ts';

/** How much fainter the last layer's line is than the first one's. */
const FAINTER = 0.65;

export function kindsOf(pairs: readonly ShownPair[]): ShownPair['kind'][] {
  return [...new Set(pairs.map(({ kind }) => kind))];
}

export function pathChart({ path, pairs }: PageContent, palette: ReportPalette): ChartOption {
  const kinds = kindsOf(pairs);
  const steps = path?.steps ?? 1;
  const series = pairs.map((pair, p): LineSeriesOption => {
    const { name, kind, units } = pair;
    const same = pairs.filter((each) => each.kind === kind);
    const depth = same.indexOf(pair) / Math.max(1, same.length - 1);
    const entered = (path?.entries[p] ?? []).filter((time) => time !== null);
    const share = (count: number) => (100 * count) / units;
    return {
      name,
      type: 'line',
      step: 'end',
      symbol: 'none',
      color: palette.kinds[kind],
      lineStyle: { width: 1.6, opacity: 1 - FAINTER * depth, type: lineTypeOf(kinds.indexOf(kind)) },
      emphasis: { lineStyle: { width: 3.5, opacity: 1 } },
      triggerLineEvent: true,
      data: [[0, 0], ...entered.map((time, i) => [time, share(i + 1)]), [steps, share(entered.length)]],
    };
  });
  return {
    ...frameOf(palette),
    grid: { left: 52, right: 20, top: 36, bottom: 48 },
    tooltip: tooltipOf(palette, ({ series: name, x, y }) => [name, `${short(y)} % at step ${short(x)}`]),
    xAxis: { ...lowerAxisOf(palette, 'step'), min: 0, max: steps },
    yAxis: { ...sideAxisOf(palette, '% of units'), min: 0, max: 100 },
    series: path === undefined ? [] : series,
  };
}
