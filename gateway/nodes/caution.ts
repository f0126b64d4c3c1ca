/**
 * Whether predictions hold: of requests that were promised to be in time, so many may miss as the policy's quantile leaves.
 * What times do not show (nodes that take one another's cores, pauses that hit all at once) shows here, and runs then have
 * to leave more room. The step is that of adaptive conformal inference (Gibbs and Candès, NeurIPS 2021), on the logarithm.
 */
export interface Caution {
  /** How many times the usual room a run has to leave; 1 while predictions hold. */
  factor(): number;
  /** @param quantile of predicted time that was to fit. @param kept whether it did */
  record(quantile: number, kept: boolean): void;
}

const STEP = 0.2;
const MOST = Math.log(3);

export function caution(): Caution {
  let level = 0;
  return {
    factor: () => Math.exp(level),
    record(quantile, kept) {
      level = Math.min(MOST, Math.max(0, level + STEP * ((kept ? 0 : 1) - (1 - quantile))));
    },
  };
}
