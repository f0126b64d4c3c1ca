/** What levels and other ways of pruning were measured by, and what they take. */

import { OTHER_COLOURS } from '../../../schema/page/palette.ts';
import type { PageContent, ShownLevel } from '../page-content.ts';

export type Way = NonNullable<PageContent['path']>['baselines'][number];
export type Point = Way['points'][number];

type Quality = ShownLevel['quality'];
/** A mean with its 95 % interval, and which way it is better where it says. */
export type Measure = NonNullable<Quality['details']>[string];

/** @param metric the main one or one of the details @throws if the level was not measured by it */
export function qualityOf({ level, quality }: ShownLevel, metric: string): Measure {
  const measure = metric === quality.metric ? quality : quality.details?.[metric];
  if (measure === undefined) throw new Error(`level ${level} was not measured by ${metric}`);
  return measure;
}

export function mainMetric({ metrics }: Pick<PageContent, 'metrics'>): string {
  return metrics[0] ?? '';
}

/** Other ways of pruning that were measured by a metric. */
export function waysBy({ path, metrics }: PageContent, metric: string): Way[] {
  return (path?.baselines ?? []).filter((way) => (way.metric ?? mainMetric({ metrics })) === metric);
}

/** Batch sizes that any level was timed at. */
export function batchesOf({ levels }: Pick<PageContent, 'levels'>): number[] {
  return [...new Set(levels.flatMap(({ latency }) => latency.map(({ batch }) => batch)))];
}

/** @returns median milliseconds of a batch; undefined where the level was not timed at it */
export function timeOf({ latency }: ShownLevel, batch: number): number | undefined {
  return latency.find((profile) => profile.batch === batch)?.p50Ms;
}

/** @returns what a model of so many FLOPs takes, between the path's levels; undefined where the path has no such level */
export function timeLike(
  { relativeFlops }: Pick<Point, 'relativeFlops'>,
  levels: readonly ShownLevel[],
  batch: number,
): number | undefined {
  const known = levels.flatMap((level) => {
    const ms = timeOf(level, batch);
    return ms === undefined ? [] : [{ flops: level.relativeFlops, ms }];
  });
  const place = known.findIndex(({ flops }) => flops >= relativeFlops - ROUNDING);
  const above = known[place];
  if (above === undefined || (place === 0 && above.flops > relativeFlops + ROUNDING)) return undefined;
  const below = known[place - 1] ?? above;
  const width = above.flops - below.flops;
  return width > 0 ? below.ms + ((above.ms - below.ms) * (relativeFlops - below.flops)) / width : above.ms;
}

const ROUNDING = 1e-9;

/** Symbols of the chart library, each with the character that looks like it. */
const SYMBOLS = [
  { symbol: 'circle', mark: '\u25CF' },
  { symbol: 'rect', mark: '\u25A0' },
  { symbol: 'triangle', mark: '\u25B2' },
  { symbol: 'diamond', mark: '\u25C6' },
] as const;

/** How a way is drawn, the same in every chart: told apart by symbols, too. */
export function lookOf(
  way: Way,
  { path }: PageContent,
): (typeof SYMBOLS)[number] & { readonly colour: string } {
  const place = path?.baselines.indexOf(way) ?? 0;
  return {
    ...(SYMBOLS[place % SYMBOLS.length] ?? SYMBOLS[0]),
    colour: OTHER_COLOURS[place % OTHER_COLOURS.length] ?? OTHER_COLOURS[0],
  };
}
