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
 * Mean of independent values with its 95 % interval by Student's t, which a few values need: 1.96 deviations of the mean of five hold it 88
 * times in 100. A text's tokens are not independent of each other, so a text gives one value, the mean over its tokens. One value alone says
 * nothing of others: its interval is the range, as far as that has ends.
 * @param range that such values lie in
 */
export function meanInterval(
  values: readonly number[],
  { low: least, high: most }: Interval = UNBOUNDED,
): Interval & { readonly value: number } {
  const count = values.length;
  const value = values.reduce((a, b) => a + b, 0) / count;
  const squares = values.reduce((sum, x) => sum + (x - value) ** 2, 0);
  const spread =
    count < 2 ? Number.POSITIVE_INFINITY : t95(count - 1) * Math.sqrt(squares / (count - 1) / count);
  // Rounding must not push a bound past the mean itself.
  const end = (bound: number) => (Number.isFinite(bound) ? bound : value);
  return {
    value,
    low: end(Math.min(value, Math.max(least, value - spread))),
    high: end(Math.max(value, Math.min(most, value + spread))),
  };
}

const UNBOUNDED: Interval = { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };

/** 97.5 % quantiles of Student's t with 1 to 4 degrees of freedom, where the expansion is not near enough. */
const FIRST_T95 = [12.706204736, 4.30265273, 3.182446305, 2.776445105] as const;

/** 97.5 % quantile of Student's t, by Fisher's expansion about the normal one (Abramowitz, Stegun, 26.7.5): to four digits. */
function t95(freedom: number): number {
  const known = FIRST_T95[freedom - 1];
  if (known !== undefined) return known;
  const z = Z95;
  const terms = [
    (z ** 3 + z) / 4,
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96,
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384,
    (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / 92160,
  ];
  return terms.reduce((sum, term, i) => sum + term / freedom ** (i + 1), z);
}
