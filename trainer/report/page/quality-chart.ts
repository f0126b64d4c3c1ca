/** Quality of the levels with its 95 % band, and of other ways of pruning, against what they take. Pure. */
import type { LineSeriesOption } from 'echarts/charts';
import {
  bandOf,
  type ChartOption,
  frameOf,
  lowerAxisOf,
  sideAxisOf,
  tooltipOf,
} from '../../../schema/page/chart-frame.ts';
import { percent, short } from '../../../schema/page/numbers.ts';
import type { Palette } from '../../../schema/page/palette.ts';
import type { PageContent, ShownLevel } from '../page-content.ts';
import { lookOf, mainMetric, type Point, qualityOf, timeLike, timeOf, waysBy } from './measured.ts';

/** What quality is drawn against. */
export type Cost = 'flops' | 'params' | 'latency';

/** What is shown at the moment. */
export interface Choice {
  readonly metric: string;
  readonly batch: number;
}

const PATH = 'path';

/** Where levels and points of other ways lie; undefined for those that have no such place. */
interface CostAxis {
  readonly name: string;
  readonly ofLevel: (level: ShownLevel) => number | undefined;
  readonly ofPoint: (point: Point) => number | undefined;
}

function costAxis(cost: Cost, { levels }: PageContent, batch: number): CostAxis {
  switch (cost) {
    case 'flops': {
      const at = ({ relativeFlops }: ShownLevel | Point) => 100 * relativeFlops;
      return { name: 'FLOPs, % of dense', ofLevel: at, ofPoint: at };
    }
    case 'params': {
      const at = ({ relativeParams }: ShownLevel | Point) =>
        relativeParams === undefined ? undefined : 100 * relativeParams;
      return { name: 'parameters, % of dense', ofLevel: at, ofPoint: at };
    }
    case 'latency':
      return {
        name: `p50 ms at batch ${batch}`,
        ofLevel: (level) => timeOf(level, batch),
        ofPoint: (point) => timeLike(point, levels, batch),
      };
  }
}

/** Those that have a place on the axis, each with it. */
function placed<T>(all: readonly T[], at: (one: T) => number | undefined): { x: number; one: T }[] {
  return all.flatMap((one) => {
    const x = at(one);
    return x === undefined ? [] : [{ x, one }];
  });
}

export function qualityChart(
  content: PageContent,
  cost: Cost,
  { metric, batch }: Choice,
  palette: Palette,
): ChartOption {
  const { name, ofLevel, ofPoint } = costAxis(cost, content, batch);
  const levels = placed(content.levels, ofLevel).toSorted((a, b) => a.x - b.x);
  const ways = waysBy(content, metric)
    .map((way) => ({ name: way.name, look: lookOf(way, content), points: placed(way.points, ofPoint) }))
    .filter(({ points }) => points.length > 0);
  return {
    ...frameOf(palette),
    tooltip: tooltipOf(palette, ({ series, place, x, y }) => {
      const level = levels[place]?.one;
      if (series === PATH && level !== undefined) {
        const { value, low, high } = qualityOf(level, metric);
        return [
          `level ${level.level}: ${percent(level.relativeFlops)} of the FLOPs`,
          `${short(value)} (${short(low)} to ${short(high)})`,
        ];
      }
      const point = ways.find((way) => way.name === series)?.points[place]?.one;
      return [series, `${short(y)}${intervalText(point)} at ${short(x)}`];
    }),
    xAxis: {
      ...lowerAxisOf(palette, name),
      ...(cost === 'latency' ? fromFirstTime(palette) : { min: 0, max: 100 }),
    },
    yAxis: { ...sideAxisOf(palette, metricName(content, metric)), ...content.ranges[metric] },
    series: [
      ...bandOf(
        palette,
        levels.map(({ x, one }) => ({ x, ...qualityOf(one, metric) })),
      ),
      {
        name: PATH,
        type: 'line',
        symbolSize: 7,
        color: palette.accent,
        lineStyle: { width: 2.5 },
        data: levels.map(({ x, one }) => [x, qualityOf(one, metric).value]),
      },
      ...ways.map(
        ({ name: wayName, look, points }): LineSeriesOption => ({
          name: wayName,
          type: 'line',
          symbol: look.symbol,
          symbolSize: 5,
          color: look.colour,
          lineStyle: { width: 1.2, type: 'dashed' },
          data: points.map(({ x, one }) => [x, one.value]),
        }),
      ),
    ],
  };
}

/** At the origin a time would run into the label of the other axis. */
function fromFirstTime(palette: Palette) {
  return { scale: true, axisLabel: { ...lowerAxisOf(palette, '').axisLabel, showMinLabel: false } };
}

function intervalText(point: Point | undefined): string {
  return point?.low === undefined || point.high === undefined
    ? ''
    : ` (${short(point.low)} to ${short(point.high)})`;
}

function metricName({ levels, metrics }: PageContent, metric: string): string {
  const details = levels.at(-1)?.quality.details;
  const lower = metric !== mainMetric({ metrics }) && details?.[metric]?.better === 'lower';
  return lower ? `${metric}, lower is better` : metric;
}
