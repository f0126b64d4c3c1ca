/** The way to a node and back by how much goes over it: what a large body takes longer is no secret to predictions. */
import { type TimeQuantiles, timeAt } from './quantiles.ts';

export interface SizedTimes extends TimeQuantiles {
  /** Of the request's body and the answer's together. */
  readonly bytes: number;
}

/** By growing size, none twice; none at all where nothing is known. */
export type NetworkTimes = readonly SizedTimes[];

/** The same at one quantile and at the median, flat, as every request looks: bytes, milliseconds, usual milliseconds; bytes ... */
export type Ways = Float64Array;

const [MS, USUAL_MS, STRIDE] = [1, 2, 3];

/** @returns no shorter times for larger sizes, whatever the quantile: beyond p99 the tail could have it otherwise */
export function waysAt(times: NetworkTimes, quantile: number): Ways {
  const ways = new Float64Array(STRIDE * times.length);
  let [ms, usualMs] = [0, 0];
  for (const [place, known] of times.entries()) {
    ms = Math.max(ms, timeAt(known, quantile));
    usualMs = Math.max(usualMs, known.p50Ms);
    ways.set([known.bytes, ms, usualMs], STRIDE * place);
  }
  return ways;
}

/** In proportion between two known sizes; below the first as that takes, beyond the last likewise; 0 where nothing is known. */
export function wayMs(ways: Ways, bytes: number): number {
  return timeOf(ways, bytes, MS);
}

/** The same at the median. */
export function usualWayMs(ways: Ways, bytes: number): number {
  return timeOf(ways, bytes, USUAL_MS);
}

function timeOf(ways: Ways, bytes: number, what: number): number {
  let above = 0;
  while (above < ways.length && (ways[above] as number) < bytes) above += STRIDE;
  if (above === 0) return ways[what] ?? 0;
  const below = above - STRIDE;
  const belowMs = ways[below + what] as number;
  if (above === ways.length) return belowMs;
  const aboveMs = ways[above + what] as number;
  const share = (bytes - (ways[below] as number)) / ((ways[above] as number) - (ways[below] as number));
  // Rounding must not lead beyond the larger one.
  return Math.min(aboveMs, belowMs + share * (aboveMs - belowMs));
}
