/** Confidence intervals of measured qualities. */

/** 97.5 % quantile of the normal distribution: two-sided 95 %. */
const Z95 = 1.959963984540054;

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/**
 * Wilson score interval of a proportion, 95 % (E. B. Wilson, 1927): unlike the normal approximation it stays within
 * [0, 1] and is right near the ends, where accuracies live.
 */
export function wilsonInterval(successes: number, samples: number): Interval {
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

/**
 * Mean of independent values with its 95 % interval by the central limit theorem. A text's tokens are not independent of
 * each other, so a text gives one value, the mean over its tokens.
 */
export function meanInterval(values: readonly number[]): Interval & { readonly value: number } {
  const count = values.length;
  const value = values.reduce((a, b) => a + b, 0) / count;
  const squares = values.reduce((sum, x) => sum + (x - value) ** 2, 0);
  const spread = count < 2 ? 0 : Z95 * Math.sqrt(squares / (count - 1) / count);
  return { value, low: value - spread, high: value + spread };
}
