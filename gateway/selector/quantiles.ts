/** Three measured quantiles of a time, and the time at any quantile between and beyond them. */

export interface TimeQuantiles {
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}

/**
 * The time that a share `quantile` of cases does not exceed: linear between the measured quantiles. Beyond p99 the tail
 * is taken to be exponential, with the rate that p95 and p99 show; below p50 there is nothing we would promise by.
 */
export function timeAt(times: TimeQuantiles, quantile: number): number {
  const { p50Ms, p95Ms, p99Ms } = times;
  if (quantile <= 0.5) return p50Ms;
  if (quantile <= 0.95) return between(p50Ms, p95Ms, (quantile - 0.5) / 0.45);
  if (quantile <= 0.99) return between(p95Ms, p99Ms, (quantile - 0.95) / 0.04);
  return p99Ms + ((p99Ms - p95Ms) * Math.log(0.01 / (1 - quantile))) / Math.log(5);
}

function between(a: number, b: number, share: number): number {
  return a + (b - a) * share;
}
