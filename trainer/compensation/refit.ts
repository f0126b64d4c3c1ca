/**
 * Refitting an output matrix to what the dense model has behind it: pure functions on moments.
 *
 * With u the matrix's input in the pruned model, s and s* what stands behind the matrix (the residual stream, where the
 * output joins one) in the pruned and in the dense model on the same example, the change of matrix and bias is
 *     D = argmin E |(u,1) D - (s* - s)|^2 + damping * mean(diag A) |D|^2 = (A + lift)^-1 B,   A = E[(u,1)^T (u,1)], B = E[(u,1)^T (s* - s)]
 * the bias undamped. Because s holds the errors of all layers before, each layer makes up for those too.
 */
import { dampedSolve } from './damped-solve.ts';

/** Sums over rows, row-major. */
export interface RefitSums {
  readonly rows: number;
  /** Entries of u, or of (u, 1). */
  readonly size: number;
  /** [size, size] of (u, 1) or of u. */
  readonly gram: Float64Array;
  /** [size, dOut] of u with s* - s. */
  readonly cross: Float64Array;
}

/** Dampings that are tried, weakest first. */
const REFIT_DAMPINGS = [1e-4, 1e-3, 1e-2, 1e-1, 1] as const;

export interface Refit {
  /** [size, dOut]; zero when no damping helps on the validation rows. */
  readonly change: Float64Array;
  readonly damping: number | undefined;
}

/**
 * The change with the damping that leaves the least error on rows that the fit has not seen, then fitted on all rows. Of wide outputs some
 * tell which damping that is: all would take most of the time.
 * @param withConstant whether the last entry of u is the constant 1
 */
export function refit(fit: RefitSums, validation: RefitSums, withConstant: boolean): Refit {
  let best: number | undefined;
  // Error of no change at all, up to what does not depend on the change.
  let least = 0;
  const [tried, judging] = [fit, validation].map(someOutputs) as [RefitSums, RefitSums];
  for (const damping of REFIT_DAMPINGS) {
    const error = errorOf(solveDamped(tried, damping, withConstant), judging);
    if (error < least) [best, least] = [damping, error];
    // Along the dampings the error falls once and rises once.
    else if (best !== undefined) break;
  }
  if (best === undefined) return { change: new Float64Array(fit.cross.length), damping: undefined };
  return { change: solveDamped(addSums(fit, validation), best, withConstant), damping: best };
}

/** Outputs that the damping is chosen by, at most about. */
const CHOSEN_BY = 256;

/** The same of every so many-th output. */
function someOutputs(sums: RefitSums): RefitSums {
  const { size, cross } = sums;
  const columns = cross.length / Math.max(1, size);
  const step = Math.floor(columns / CHOSEN_BY);
  if (step < 2) return sums;
  const count = Math.ceil(columns / step);
  const some = new Float64Array(size * count);
  for (let i = 0; i < size; i++)
    for (let c = 0; c < count; c++) some[i * count + c] = cross[i * columns + c * step] as number;
  return { ...sums, cross: some };
}

/** Sums over no rows. @param crossLength size * dOut */
export function emptySums(size: number, crossLength: number): RefitSums {
  return { rows: 0, size, gram: new Float64Array(size * size), cross: new Float64Array(crossLength) };
}

/** Sums over the rows of both. */
function addSums(a: RefitSums, b: RefitSums): RefitSums {
  const sum = (x: Float64Array, y: Float64Array) => x.map((value, i) => value + (y[i] as number));
  return { rows: a.rows + b.rows, size: a.size, gram: sum(a.gram, b.gram), cross: sum(a.cross, b.cross) };
}

function solveDamped(
  { gram, cross, rows, size }: RefitSums,
  damping: number,
  withConstant: boolean,
): Float64Array {
  const damped = withConstant ? size - 1 : size;
  // Sums on both sides give the same solution as means, when the lift is as many times larger.
  let trace = 0;
  for (let i = 0; i < damped; i++) trace += gram[i * size + i] as number;
  const lift = (damping * trace) / Math.max(1, damped) + rows * Number.MIN_VALUE;
  return dampedSolve(gram, cross, size, lift, damped);
}

/** E|(u,1) D - r|^2 - E|r|^2 = tr(D^T A D) - 2 tr(D^T B). Four rows of D at a time: the sums are read and written a quarter as often. */
function errorOf(change: Float64Array, { gram, cross, rows, size }: RefitSums): number {
  const columns = change.length / size;
  const fitted = new Float64Array(columns);
  let error = 0;
  for (let i = 0; i < size; i++) {
    fitted.fill(0);
    let j = 0;
    for (; j + 3 < size; j += 4) {
      const [at0, at1, at2, at3] = [j * columns, (j + 1) * columns, (j + 2) * columns, (j + 3) * columns];
      const g = i * size + j;
      const [by0, by1, by2, by3] = [gram[g], gram[g + 1], gram[g + 2], gram[g + 3]] as [
        number,
        number,
        number,
        number,
      ];
      for (let o = 0; o < columns; o++)
        fitted[o] =
          (fitted[o] as number) +
          (by0 * (change[at0 + o] as number) + by1 * (change[at1 + o] as number)) +
          (by2 * (change[at2 + o] as number) + by3 * (change[at3 + o] as number));
    }
    for (; j < size; j++) {
      const by = gram[i * size + j] as number;
      for (let o = 0; o < columns; o++)
        fitted[o] = (fitted[o] as number) + by * (change[j * columns + o] as number);
    }
    for (let o = 0; o < columns; o++) {
      const at = i * columns + o;
      error += (change[at] as number) * ((fitted[o] as number) - 2 * (cross[at] as number));
    }
  }
  return error / rows;
}
