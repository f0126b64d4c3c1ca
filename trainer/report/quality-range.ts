/** Between which values a chart of quality is drawn. Pure. */

export interface Range {
  readonly min: number;
  readonly max: number;
  /** Between ticks. */
  readonly interval: number;
}

/** Ticks between the ends, about. */
const TICKS = 5;
/** Beside the path, as often its own height, others are drawn: those that fall to chance would press the path to a line. */
const ROOM = 2;

/**
 * @param own bounds of the path's levels @param others values of other ways of pruning
 * @returns ends that are ticks themselves, so that their labels are round, around all of the path and what is near it
 */
export function qualityRange(own: readonly number[], others: readonly number[]): Range {
  const [low, high] = [Math.min(...own), Math.max(...own)];
  const room = ROOM * (high - low);
  const from = Math.max(low - room, Math.min(low, ...others));
  const to = Math.min(high + room, Math.max(high, ...others));
  const interval = roundStep((to - from) / TICKS || Math.abs(to) / TICKS || 1);
  const tick = (place: number) => Number((place * interval).toPrecision(12));
  // Rounding of the division must not push an end one tick further out.
  return {
    min: tick(Math.floor(from / interval + 1e-9)),
    max: tick(Math.ceil(to / interval - 1e-9)),
    interval,
  };
}

/** The least of 1, 2 or 5 times a power of ten that is not below. */
function roundStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  const factor = [1, 2, 5, 10].find((each) => each * power >= least * (1 - 1e-9)) ?? 10;
  return Number((factor * power).toPrecision(12));
}
