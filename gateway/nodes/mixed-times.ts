import type { TimeQuantiles } from '../selector/quantiles.ts';

/** Quantile by quantile, `share` of the first and the rest of the second. */
export function mixed(a: TimeQuantiles, b: TimeQuantiles, share: number): TimeQuantiles {
  return {
    p50Ms: share * a.p50Ms + (1 - share) * b.p50Ms,
    p95Ms: share * a.p95Ms + (1 - share) * b.p95Ms,
    p99Ms: share * a.p99Ms + (1 - share) * b.p99Ms,
  };
}
