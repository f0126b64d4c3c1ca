import { Matrix, solve } from 'ml-matrix';
import { expect, test } from 'vitest';
import { randomSource } from '../search/random.ts';
import { dampedSolve } from './damped-solve.ts';

const source = randomSource(11, 95, 0);
const random = (rows: number, columns: number) =>
  new Matrix(
    Array.from({ length: rows }, () => Array.from({ length: columns }, () => 2 * source.uniform() - 1)),
  );
const flat = (matrix: Matrix) => Float64Array.from(matrix.to1DArray());

test.each([1, 2, 5, 17, 40])('solves %i lifted equations as a factorisation with pivots does', (n) => {
  const rows = random(3 * n, n);
  const [a, b] = [rows.transpose().mmul(rows), random(n, 3)];
  const lifted = Math.max(0, n - 1);
  const whole = a.clone();
  for (let i = 0; i < lifted; i++) whole.set(i, i, whole.get(i, i) + 0.7);
  const expected = flat(solve(whole, b));
  const found = dampedSolve(flat(a), flat(b), n, 0.7, lifted);
  expect([...found]).toEqual([...expected].map((value) => expect.closeTo(value, 9)));
});

test('gives the smallest solution where the equations leave it open', () => {
  // Two equal columns: any split of 2 between them is exact.
  const found = dampedSolve(Float64Array.of(1, 1, 1, 1), Float64Array.of(2, 2), 2, 0, 0);
  expect([...found]).toEqual([expect.closeTo(1, 9), expect.closeTo(1, 9)]);
});
