/** Confidence intervals of measured qualities. */

/** 97.5 % quantile of the normal distribution: two-sided 95 %. */
const Z95 = 1.959963984540054;

/**
 * Wilson score interval of a proportion, 95 % (E. B. Wilson, 1927): unlike the normal approximation it stays within
 * [0, 1] and is right near the ends, where accuracies live.
 */
export function wilsonInterval(successes: number, samples: number): { low: number; high: number } {
  if (samples === 0) return { low: 0, high: 1 };
  const p = successes / samples;
  const z2 = (Z95 * Z95) / samples;
  const centre = p + z2 / 2;
  const spread = Z95 * Math.sqrt((p * (1 - p)) / samples + z2 / (4 * samples));
  // Rounding must not push a bound past the proportion itself.
  return {
    low: Math.max(0, Math.min(p, (centre - spread) / (1 + z2))),
    high: Math.min(1, Math.max(p, (centre + spread) / (1 + z2))),
  };
}
