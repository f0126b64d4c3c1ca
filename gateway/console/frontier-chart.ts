/** What a model's levels are worth and take at the moment: quality against predicted time, and all of it as a table. Pure. */
import {
  bandOf,
  type ChartOption,
  frameOf,
  lowerAxisOf,
  sideAxisOf,
  tooltipOf,
} from '../../schema/page/chart-frame.ts';
import { percent, short } from '../../schema/page/numbers.ts';
import type { Palette } from '../../schema/page/palette.ts';
import type { Table } from '../../schema/page/table.ts';
import type { Model } from './api.ts';

type Level = Model['levels'][number];

/** A level that some node serves, and what it takes there. */
interface Served {
  readonly level: Level;
  readonly ms: number;
}

/** Those that no other one beats in quality without taking longer, the quickest first. */
export function frontierOf(levels: readonly Level[]): Served[] {
  const frontier: Served[] = [];
  for (const served of servedOf(levels)) {
    const best = frontier.at(-1);
    if (best === undefined || served.level.quality.value > best.level.quality.value) frontier.push(served);
  }
  return frontier;
}

/** The quickest first, and of two that take as long the better one. */
function servedOf(levels: readonly Level[]): Served[] {
  return levels
    .flatMap((level) => (level.predictedMs === null ? [] : [{ level, ms: level.predictedMs }]))
    .toSorted((a, b) => a.ms - b.ms || b.level.quality.value - a.level.quality.value);
}

/** All levels that are served, and a line through those of the frontier. */
export function frontierChart({ levels }: Pick<Model, 'levels'>, palette: Palette): ChartOption {
  const served = servedOf(levels);
  const frontier = frontierOf(levels);
  const series = { levels: served, frontier };
  const points = (of: readonly Served[]) => of.map(({ ms, level }) => [ms, level.quality.value]);
  return {
    ...frameOf(palette),
    tooltip: tooltipOf(palette, ({ series: name, place }) => {
      const at = series[name === 'levels' ? 'levels' : 'frontier'][place];
      if (at === undefined) return [];
      const { level, relativeFlops, quality, costNanoUsd } = at.level;
      const interval = `${short(quality.low)} to ${short(quality.high)}`;
      return [
        `level ${level}: ${percent(relativeFlops)} of the FLOPs`,
        `${short(quality.value)} (${interval}) in ${short(at.ms)} ms`,
        `${costText(costNanoUsd)} USD`,
      ];
    }),
    xAxis: { ...lowerAxisOf(palette, 'predicted ms, one input'), scale: true },
    yAxis: { ...sideAxisOf(palette, levels[0]?.quality.metric ?? 'quality'), scale: true },
    series: [
      ...bandOf(
        palette,
        frontier.map(({ ms, level: { quality } }) => ({ x: ms, low: quality.low, high: quality.high })),
      ),
      {
        name: 'levels',
        type: 'line',
        symbolSize: 7,
        color: palette.quiet,
        lineStyle: { opacity: 0 },
        data: points(served),
      },
      { name: 'frontier', type: 'line', symbolSize: 8, color: palette.accent, data: points(frontier) },
    ],
  };
}

export function levelsTable({ levels }: Pick<Model, 'levels'>): Table {
  return {
    header: ['level', 'quality', '95 %', 'FLOPs', 'predicted ms', 'cost, USD'],
    rows: levels.map(({ level, quality, relativeFlops, predictedMs, costNanoUsd }) => [
      String(level),
      short(quality.value),
      `${short(quality.low)} to ${short(quality.high)}`,
      percent(relativeFlops),
      predictedMs === null ? 'not served' : predictedMs.toFixed(2),
      costText(costNanoUsd),
    ]),
  };
}

function costText(nanoUsd: number | null): string {
  return nanoUsd === null ? '-' : short(nanoUsd / 1e9);
}
