/** One measure of numerical distance for checks and tests. */

export interface Distance {
  /** Largest absolute difference, over the largest absolute value of the reference. */
  readonly relative: number;
  /** Where that difference is, and the two values there. */
  readonly index: number;
  readonly actual: number;
  readonly expected: number;
}

/**
 * Scale-aware maximum error. NaN beside NaN and equal infinities count as equal; any other non-finite pair is infinitely far apart,
 * and so are arrays of different lengths.
 */
export function relativeError(
  actual: ArrayLike<number | bigint>,
  expected: ArrayLike<number | bigint>,
): Distance {
  if (actual.length !== expected.length)
    return {
      relative: Number.POSITIVE_INFINITY,
      index: -1,
      actual: actual.length,
      expected: expected.length,
    };
  let scale = 0;
  let largest = 0;
  let index = -1;
  for (let i = 0; i < expected.length; i++) {
    const a = Number(actual[i]);
    const e = Number(expected[i]);
    if (Number.isFinite(e)) scale = Math.max(scale, Math.abs(e));
    if (Object.is(a, e) || a === e) continue;
    const difference = Math.abs(a - e);
    const distance = Number.isFinite(difference) ? difference : Number.POSITIVE_INFINITY;
    if (distance > largest) {
      largest = distance;
      index = i;
    }
  }
  const at = (values: ArrayLike<number | bigint>) => (index < 0 ? 0 : Number(values[index]));
  // Against an all-zero reference there is no scale: the absolute error is what counts.
  return { relative: largest / (scale || 1), index, actual: at(actual), expected: at(expected) };
}
