/** (A + lift)^-1 B for several lifts of the diagonal, in float64 on flat arrays: a path solves thousands of these. */
import { Matrix, solve } from 'ml-matrix';

/**
 * @param a [n, n], symmetric, row-major; only the lower triangle is read
 * @param b [n, columns], row-major
 * @param lift added to the first `lifted` diagonal entries
 * @returns [n, columns]
 */
export function dampedSolve(
  a: Float64Array,
  b: Float64Array,
  n: number,
  lift: number,
  lifted: number,
): Float64Array {
  const factor = a.slice();
  for (let i = 0; i < lifted; i++) factor[i * n + i] = (factor[i * n + i] as number) + lift;
  const columns = b.length / n;
  if (!cholesky(factor, n)) return bySingularValues(a, b, n, lift, lifted);
  const x = b.slice();
  forward(factor, x, n, columns);
  backward(factor, x, n, columns);
  return x;
}

/** Lower factor in place, row by row: both operands of every inner product are contiguous. @returns whether A is positive definite */
function cholesky(a: Float64Array, n: number): boolean {
  for (let j = 0; j < n; j++) {
    for (let k = 0; k <= j; k++) {
      let s0 = 0;
      let s1 = 0;
      let s2 = 0;
      let s3 = 0;
      const rowJ = j * n;
      const rowK = k * n;
      let i = 0;
      for (; i + 3 < k; i += 4) {
        s0 += (a[rowJ + i] as number) * (a[rowK + i] as number);
        s1 += (a[rowJ + i + 1] as number) * (a[rowK + i + 1] as number);
        s2 += (a[rowJ + i + 2] as number) * (a[rowK + i + 2] as number);
        s3 += (a[rowJ + i + 3] as number) * (a[rowK + i + 3] as number);
      }
      for (; i < k; i++) s0 += (a[rowJ + i] as number) * (a[rowK + i] as number);
      const rest = (a[rowJ + k] as number) - (s0 + s1 + s2 + s3);
      if (k < j) a[rowJ + k] = rest / (a[rowK + k] as number);
      else if (rest > 0) a[rowJ + j] = Math.sqrt(rest);
      else return false;
    }
  }
  return true;
}

/** L y = x, in place. */
function forward(l: Float64Array, x: Float64Array, n: number, columns: number): void {
  for (let k = 0; k < n; k++) {
    subtractRows(x, k, { from: 0, to: k }, l, { at: k * n, step: 1 }, columns);
    divideRow(x, k, l[k * n + k] as number, columns);
  }
}

/** L^T y = x, in place. */
function backward(l: Float64Array, x: Float64Array, n: number, columns: number): void {
  for (let k = n - 1; k >= 0; k--) {
    subtractRows(x, k, { from: k + 1, to: n }, l, { at: k, step: n }, columns);
    divideRow(x, k, l[k * n + k] as number, columns);
  }
}

/** Rows of x, each times an entry of l, are taken off row k: four at a time, so that row k is read and written a quarter as often. */
function subtractRows(
  x: Float64Array,
  k: number,
  { from, to }: { readonly from: number; readonly to: number },
  l: Float64Array,
  { at, step }: { readonly at: number; readonly step: number },
  columns: number,
): void {
  const row = k * columns;
  let i = from;
  for (; i + 3 < to; i += 4) {
    const [a, b, c, d] = [i * columns, (i + 1) * columns, (i + 2) * columns, (i + 3) * columns];
    const place = at + i * step;
    const la = l[place] as number;
    const lb = l[place + step] as number;
    const lc = l[place + 2 * step] as number;
    const ld = l[place + 3 * step] as number;
    for (let o = 0; o < columns; o++)
      x[row + o] =
        (x[row + o] as number) -
        (la * (x[a + o] as number) + lb * (x[b + o] as number)) -
        (lc * (x[c + o] as number) + ld * (x[d + o] as number));
  }
  for (; i < to; i++) {
    const by = l[at + i * step] as number;
    for (let o = 0; o < columns; o++)
      x[row + o] = (x[row + o] as number) - by * (x[i * columns + o] as number);
  }
}

function divideRow(x: Float64Array, row: number, by: number, columns: number): void {
  for (let i = row * columns; i < (row + 1) * columns; i++) x[i] = (x[i] as number) / by;
}

function bySingularValues(a: Float64Array, b: Float64Array, n: number, lift: number, lifted: number) {
  const matrix = Matrix.from1DArray(n, n, a);
  for (let i = 0; i < lifted; i++) matrix.set(i, i, matrix.get(i, i) + lift);
  return Float64Array.from(solve(matrix, Matrix.from1DArray(n, b.length / n, b), true).to1DArray());
}
