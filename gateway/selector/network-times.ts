/** The way to a node and back by how much goes over it: what a large body takes longer is no secret to predictions. */
import { type TimeQuantiles, timeAt } from './quantiles.ts';

export interface SizedTimes extends TimeQuantiles {
  /** Of the request's body and the answer's together. */
  readonly bytes: number;
}

/** By growing size, none twice; none at all where nothing is known. */
export type NetworkTimes = readonly SizedTimes[];

/** The same at one quantile, and at the median beside it. */
export interface SizedWay {
  readonly bytes: number;
  readonly ms: number;
  readonly usualMs: number;
}

/** @returns no shorter times for larger sizes, whatever the quantile: beyond p99 the tail could have it otherwise */
export function waysAt(times: NetworkTimes, quantile: number): SizedWay[] {
  let [ms, usualMs] = [0, 0];
  return times.map((known) => {
    ms = Math.max(ms, timeAt(known, quantile));
    usualMs = Math.max(usualMs, known.p50Ms);
    return { bytes: known.bytes, ms, usualMs };
  });
}

/** In proportion between two known sizes; below the first as that takes, beyond the last likewise; 0 where nothing is known. */
export function wayMs(ways: readonly SizedWay[], bytes: number): number {
  return between(ways, bytes, 'ms');
}

export function usualWayMs(ways: readonly SizedWay[], bytes: number): number {
  return between(ways, bytes, 'usualMs');
}

function between(ways: readonly SizedWay[], bytes: number, of: 'ms' | 'usualMs'): number {
  let below: SizedWay | undefined;
  for (const above of ways) {
    if (above.bytes < bytes) {
      below = above;
      continue;
    }
    if (below === undefined) return above[of];
    const share = (bytes - below.bytes) / (above.bytes - below.bytes);
    // Written so that rounding cannot lead beyond the larger one.
    return Math.min(above[of], below[of] + share * (above[of] - below[of]));
  }
  return below?.[of] ?? 0;
}
