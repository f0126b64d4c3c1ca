import fc from 'fast-check';
import { inverse, Matrix } from 'ml-matrix';
import { expect, test } from 'vitest';
import { randomSource } from '../search/random.ts';
import { eliminationOrder } from './elimination.ts';

const WIDTH = 3;

/** Rows of activations of units that partly tell each other, with means that are not zero. */
function activations(seed: number, units: number): Matrix {
  const source = randomSource(seed, 97, 0);
  const random = (rows: number, columns: number) =>
    new Matrix(
      Array.from({ length: rows }, () => Array.from({ length: columns }, () => source.uniform() - 0.4)),
    );
  return random(60, units).mmul(random(units, units));
}

function momentsOf(rows: Matrix) {
  return {
    count: rows.rows,
    sum: Float64Array.from(rows.sum('column')),
    gram: Float64Array.from(rows.transpose().mmul(rows).to1DArray()),
  };
}

function outputOf(seed: number, units: number): Matrix {
  const source = randomSource(seed, 97, 1);
  return new Matrix(
    Array.from({ length: WIDTH }, () => Array.from({ length: units }, () => source.uniform() - 0.5)),
  );
}

const unitMatrix = (matrix: Matrix) => ({
  rows: matrix.rows,
  cols: matrix.columns,
  data: Float64Array.from(matrix.to1DArray()),
});

/** The least squared error at the output when it is made of some units only: tr(W_R Σ_(R|K) W_Rᵀ). */
function errorOf(covariance: Matrix, output: Matrix, kept: readonly number[]): number {
  const gone = Array.from({ length: covariance.rows }, (_, i) => i).filter((i) => !kept.includes(i));
  const part = (a: readonly number[], b: readonly number[]) => covariance.selection([...a], [...b]);
  const rest =
    kept.length === 0
      ? part(gone, gone)
      : Matrix.sub(
          part(gone, gone),
          part(gone, kept)
            .mmul(inverse(part(kept, kept)))
            .mmul(part(kept, gone)),
        );
  const weights = output.subMatrixColumn(gone);
  return weights.mmul(rest).mmul(weights.transpose()).trace();
}

test('each unit that goes is the one without which the refitted rest errs least', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 2, max: 7 }), (seed, units) => {
      const rows = activations(seed, units);
      const output = outputOf(seed, units);
      const order = eliminationOrder(unitMatrix(output), momentsOf(rows));
      expect(order.toSorted((a, b) => a - b)).toEqual([...Array(units).keys()]);

      const centred = rows.clone().center('column');
      const covariance = centred.transpose().mmul(centred).div(rows.rows);
      covariance.add(Matrix.eye(units).mul((1e-3 * covariance.trace()) / units));
      for (let kept = units - 1; kept >= 0; kept--) {
        const before = order.slice(0, kept + 1);
        const errors = before.map((unit) =>
          errorOf(
            covariance,
            output,
            before.filter((other) => other !== unit),
          ),
        );
        const least = Math.min(...errors);
        expect(errors[kept]).toBeLessThanOrEqual(least * (1 + 1e-6) + 1e-12);
      }
    }),
    { numRuns: 60 },
  );
});

test('of two units that say the same one goes at once and the other stays, however much both matter', () => {
  const rows = activations(5, 4);
  for (let row = 0; row < rows.rows; row++) rows.set(row, 3, 2 * rows.get(row, 0) + 1);
  const output = outputOf(5, 4);
  for (let i = 0; i < WIDTH; i++) output.set(i, 0, 2).set(i, 3, 2);
  const order = eliminationOrder(unitMatrix(output), momentsOf(rows));
  expect([order.at(-1), order[0]].toSorted()).toEqual([0, 3]);
});

test('units that never vary go first, and a model without any variance is no fault', () => {
  const rows = activations(6, 3);
  for (let row = 0; row < rows.rows; row++) rows.set(row, 1, 4);
  expect(eliminationOrder(unitMatrix(outputOf(6, 3)), momentsOf(rows)).at(-1)).toBe(1);
  const still = eliminationOrder(unitMatrix(outputOf(6, 3)), momentsOf(Matrix.ones(5, 3)));
  expect(still.toSorted()).toEqual([0, 1, 2]);
});
