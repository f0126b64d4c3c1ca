/**
 * Times of one thing in buckets of equal ratio, old ones counting less and less: a sample's weight halves with every
 * half-life. Weights grow with the time of recording instead of shrinking with age ("forward decay", Cormode et al.,
 * ICDE 2009), so that recording costs no pass over the buckets.
 */
import type { TimeQuantiles } from '../selector/quantiles.ts';

export interface DecayingHistogram {
  record(ms: number, nowMs: number): void;
  /** In samples of this moment. */
  weight(nowMs: number): number;
  /** Undefined while nothing was recorded. A bucket answers with the mean of what fell into it. */
  quantiles(): TimeQuantiles | undefined;
  /** The time that this share does not exceed; NaN while nothing was recorded. */
  quantile(share: number): number;
  /** NaN while nothing was recorded. */
  mean(): number;
}

const SMALLEST_MS = 0.05;
/** Neighbouring buckets are 6 % apart: from 0.05 ms to an hour and a half. */
const LOG_RATIO = Math.log(1.06);
const BUCKETS = 320;
/** Half-lives after which weights are scaled down, well before they leave the floats. */
const RESCALE_AFTER = 60;

export function decayingHistogram(halfLifeMs: number): DecayingHistogram {
  const weights = new Float32Array(BUCKETS);
  const sums = new Float32Array(BUCKETS);
  let total = 0;
  let totalSum = 0;
  let originMs = 0;
  /** Buckets outside of these are empty. */
  let lowest = BUCKETS;
  let highest = -1;

  const rescale = (nowMs: number) => {
    const factor = total === 0 ? 0 : 2 ** -((nowMs - originMs) / halfLifeMs);
    for (let bucket = lowest; bucket <= highest; bucket++) {
      weights[bucket] = (weights[bucket] as number) * factor;
      sums[bucket] = (sums[bucket] as number) * factor;
    }
    total *= factor;
    totalSum *= factor;
    originMs = nowMs;
    // What has decayed to nothing must not be taken for the largest.
    while (lowest <= highest && weights[lowest] === 0) lowest++;
    while (highest >= lowest && weights[highest] === 0) highest--;
    if (highest < lowest) [total, totalSum, lowest, highest] = [0, 0, BUCKETS, -1];
  };

  const quantile = (share: number) => {
    const wanted = share * total;
    let seen = 0;
    for (let bucket = lowest; bucket < highest; bucket++) {
      seen += weights[bucket] as number;
      if (seen >= wanted && (weights[bucket] as number) > 0)
        return (sums[bucket] as number) / (weights[bucket] as number);
    }
    return (sums[highest] as number) / (weights[highest] as number);
  };

  return {
    record(ms, nowMs) {
      if (total === 0) originMs = nowMs;
      else if (nowMs - originMs > RESCALE_AFTER * halfLifeMs) rescale(nowMs);
      const weight = 2 ** ((nowMs - originMs) / halfLifeMs);
      const bucket = bucketOf(ms);
      weights[bucket] = (weights[bucket] as number) + weight;
      sums[bucket] = (sums[bucket] as number) + weight * ms;
      total += weight;
      totalSum += weight * ms;
      lowest = Math.min(lowest, bucket);
      highest = Math.max(highest, bucket);
    },
    weight: (nowMs) => (total === 0 ? 0 : total * 2 ** -((nowMs - originMs) / halfLifeMs)),
    quantile: (share) => (total === 0 ? Number.NaN : quantile(share)),
    quantiles: () =>
      total === 0 ? undefined : { p50Ms: quantile(0.5), p95Ms: quantile(0.95), p99Ms: quantile(0.99) },
    mean: () => totalSum / total,
  };
}

function bucketOf(ms: number): number {
  if (!(ms > SMALLEST_MS)) return 0;
  return Math.min(BUCKETS - 1, 1 + Math.floor(Math.log(ms / SMALLEST_MS) / LOG_RATIO));
}
