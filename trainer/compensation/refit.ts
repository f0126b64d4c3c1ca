/**
 * Refitting an output matrix to what the dense model has behind it: pure functions on moments.
 *
 * With u the matrix's input in the pruned model, s and s* what stands behind the matrix (the residual stream, where the
 * output joins one) in the pruned and in the dense model on the same example, the change of matrix and bias is
 *     D = argmin E |(u,1) D - (s* - s)|^2 + damping * mean(diag A) |D|^2 = (A + lift)^-1 B,   A = E[(u,1)^T (u,1)], B = E[(u,1)^T (s* - s)]
 * the bias undamped. Because s holds the errors of all layers before, each layer makes up for those too.
 */
import { CholeskyDecomposition, Matrix, solve } from 'ml-matrix';

/** Sums over rows, float64. */
export interface RefitSums {
  readonly rows: number;
  /** [n, n] of (u, 1) or of u. */
  readonly gram: Matrix;
  /** [n, dOut] of u with s* - s. */
  readonly cross: Matrix;
}

/** Dampings that are tried, weakest first. */
export const REFIT_DAMPINGS = [1e-4, 1e-3, 1e-2, 1e-1, 1] as const;

export interface Refit {
  /** [n, dOut]; zero when no damping helps on the validation rows. */
  readonly change: Matrix;
  readonly damping: number | undefined;
}

/**
 * The change with the damping that leaves the least error on rows that the fit has not seen, then fitted on all rows.
 * @param withConstant whether the last entry of u is the constant 1
 */
export function refit(fit: RefitSums, validation: RefitSums, withConstant: boolean): Refit {
  let best: number | undefined;
  // Error of no change at all, up to what does not depend on the change.
  let least = 0;
  for (const damping of REFIT_DAMPINGS) {
    const error = errorOf(solveDamped(fit, damping, withConstant), validation);
    if (error < least) [best, least] = [damping, error];
  }
  const { gram, cross } = fit;
  if (best === undefined) return { change: Matrix.zeros(gram.rows, cross.columns), damping: undefined };
  const all: RefitSums = {
    rows: fit.rows + validation.rows,
    gram: Matrix.add(gram, validation.gram),
    cross: Matrix.add(cross, validation.cross),
  };
  return { change: solveDamped(all, best, withConstant), damping: best };
}

function solveDamped({ gram, cross, rows }: RefitSums, damping: number, withConstant: boolean): Matrix {
  const n = gram.rows;
  const damped = withConstant ? n - 1 : n;
  const a = Matrix.div(gram, rows);
  let trace = 0;
  for (let i = 0; i < damped; i++) trace += a.get(i, i);
  const lift = (damping * trace) / Math.max(1, damped) + Number.MIN_VALUE;
  for (let i = 0; i < damped; i++) a.set(i, i, a.get(i, i) + lift);
  const b = Matrix.div(cross, rows);
  const cholesky = new CholeskyDecomposition(a);
  return cholesky.isPositiveDefinite() ? cholesky.solve(b) : solve(a, b, true);
}

/** E|(u,1) D - r|^2 - E|r|^2 = tr(D^T A D) - 2 tr(D^T B). */
function errorOf(change: Matrix, { gram, cross, rows }: RefitSums): number {
  const fitted = gram.mmul(change);
  let error = 0;
  for (let i = 0; i < change.rows; i++)
    for (let o = 0; o < change.columns; o++)
      error += change.get(i, o) * (fitted.get(i, o) - 2 * cross.get(i, o));
  return error / rows;
}
