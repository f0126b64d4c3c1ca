import { Matrix } from 'ml-matrix';
import { expect, test } from 'vitest';
import { randomSource } from '../search/random.ts';
import { type RefitSums, refit } from './refit.ts';

const source = randomSource(5, 97, 0);
const uniform = () => 2 * source.uniform() - 1;

/** Rows of (u, 1) with gaps that are `truth` of them and noise. */
function sums(rows: number, truth: Matrix, noise: number): RefitSums {
  const u = new Matrix(Array.from({ length: rows }, () => [uniform(), uniform(), uniform(), 1]));
  const gaps = u.mmul(truth);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < gaps.columns; c++) gaps.set(r, c, gaps.get(r, c) + noise * uniform());
  const flat = (matrix: Matrix) => Float64Array.from(matrix.to1DArray());
  return { rows, size: 4, gram: flat(u.transpose().mmul(u)), cross: flat(u.transpose().mmul(gaps)) };
}

const truth = new Matrix([
  [1, -0.5],
  [0.2, 2],
  [0, 1],
  [3, -1],
]);

test('finds the change that explains the gaps, offset included', () => {
  const { change, damping } = refit(sums(400, truth, 0.01), sums(100, truth, 0.01), true);
  expect(damping).toBe(1e-4);
  expect(Matrix.sub(Matrix.from1DArray(4, 2, change), truth).norm('frobenius')).toBeLessThan(0.01);
});

test('damps the more the fewer rows there are for the noise', () => {
  const small = new Matrix(truth.to2DArray().map((row) => row.map((x) => 0.05 * x)));
  const few = refit(sums(6, small, 2), sums(4000, small, 0), true);
  const many = refit(sums(4000, small, 2), sums(4000, small, 0), true);
  expect(few.damping ?? Number.POSITIVE_INFINITY).toBeGreaterThan(many.damping ?? 0);
});

test('changes nothing where unseen rows say that any change is worse', () => {
  const opposite = Matrix.mul(truth, -1);
  const { change, damping } = refit(sums(50, truth, 0), sums(50, opposite, 0), true);
  expect(damping).toBeUndefined();
  expect(Math.max(...change.map(Math.abs))).toBe(0);
});

test('of wide outputs, all are changed by the damping that some of them choose', () => {
  const wide = new Matrix(
    Array.from({ length: 4 }, (_, row) => Array.from({ length: 700 }, (_, c) => Math.sin(row + c))),
  );
  const { change, damping } = refit(sums(400, wide, 0.01), sums(100, wide, 0.01), true);
  expect(damping).toBe(1e-4);
  const left = Matrix.sub(Matrix.from1DArray(4, 700, change), wide);
  expect(Math.max(...left.to1DArray().map(Math.abs))).toBeLessThan(0.01);
});
