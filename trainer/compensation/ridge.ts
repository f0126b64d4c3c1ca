/**
 * Closed-form compensation of an output matrix for the units that a level cuts.
 *
 * With u the matrix's input, K the kept and R the removed units, and the moments of (u, 1), the output that the removed
 * units gave is regressed on the kept ones:
 *     W_K <- W_K + (A_KK + damping * mean(diag A_KK) * 1)^-1 A_KR W_R,   A = E[(u,1)(u,1)^T]
 * the constant 1 always among the kept (its row is the bias) and never damped. Without a bias the constant is left out.
 */
import { CholeskyDecomposition, Matrix, solve } from 'ml-matrix';
import { SppError } from '../../schema/errors.ts';
import type { Moments } from '../statistics/activation-moments.ts';
import type { UnitMatrix } from '../weights/linear-weights.ts';

export interface OutputLinear {
  /** [dOut, dIn]: dIn is the unit axis. */
  readonly matrix: UnitMatrix;
  /** [dOut] */
  readonly bias: Float64Array | undefined;
}

/**
 * @param linear the dense output matrix and bias
 * @param moments of the matrix's input, dIn entries
 * @param kept positions of dIn that stay, ascending
 * @param damping relative to the mean diagonal
 * @returns the compensated matrix [dOut, kept.length], and bias
 */
export function compensate(
  linear: OutputLinear,
  moments: Moments,
  kept: readonly number[],
  damping: number,
): OutputLinear {
  const { rows: dOut, cols: dIn, data } = linear.matrix;
  if (moments.size !== dIn)
    throw new SppError('internal', `Moments of ${moments.size} entries for ${dIn} inputs.`);
  const isKept = new Uint8Array(dIn);
  for (const k of kept) isKept[k] = 1;
  const removed = Array.from({ length: dIn }, (_, i) => i).filter((i) => !isKept[i]);
  const withBias = linear.bias !== undefined;
  const size = kept.length + (withBias ? 1 : 0);
  const moment = (i: number, j: number) => (moments.gram[i * dIn + j] ?? 0) / moments.count;
  const mean = (i: number) => (moments.sum[i] ?? 0) / moments.count;

  const a = Matrix.zeros(size, size);
  for (const [i, ki] of kept.entries()) {
    for (const [j, kj] of kept.entries()) a.set(i, j, (moment(ki, kj) + moment(kj, ki)) / 2);
    if (withBias) {
      a.set(i, kept.length, mean(ki));
      a.set(kept.length, i, mean(ki));
    }
  }
  if (withBias) a.set(kept.length, kept.length, 1);
  const lift = damping * (kept.reduce((sum, k) => sum + moment(k, k), 0) / Math.max(1, kept.length));
  for (let i = 0; i < kept.length; i++) a.set(i, i, a.get(i, i) + lift);

  // A_KR W_R, [size, dOut]
  const lost = Matrix.zeros(size, dOut);
  for (let i = 0; i < size; i++) {
    const ki = kept[i];
    for (let o = 0; o < dOut; o++) {
      let sum = 0;
      for (const r of removed) sum += (ki === undefined ? mean(r) : moment(ki, r)) * (data[o * dIn + r] ?? 0);
      lost.set(i, o, sum);
    }
  }
  const change = removed.length === 0 ? lost : solveSymmetric(a, lost);
  const out = new Float64Array(dOut * kept.length);
  for (let o = 0; o < dOut; o++) {
    for (const [i, k] of kept.entries())
      out[o * kept.length + i] = (data[o * dIn + k] ?? 0) + change.get(i, o);
  }
  const bias = linear.bias?.map((b, o) => b + change.get(kept.length, o));
  return { matrix: { rows: dOut, cols: kept.length, data: out }, bias };
}

function solveSymmetric(a: Matrix, b: Matrix): Matrix {
  const cholesky = new CholeskyDecomposition(a);
  return cholesky.isPositiveDefinite() ? cholesky.solve(b) : solve(a, b, true);
}
