import { EigenvalueDecomposition, Matrix, SingularValueDecomposition } from 'ml-matrix';
import { describe, expect, test } from 'vitest';
import { randomSource } from '../search/random.ts';
import { queryKeyBasis, valueBasis } from './basis.ts';

function randomMatrix(rows: number, cols: number, seed: number): Matrix {
  const source = randomSource(seed, 99, 0);
  return Matrix.zeros(rows, cols).apply(function (this: Matrix, i, j) {
    this.set(i, j, source.uniform() * 2 - 1);
  });
}

/** C^1/2 by eigendecomposition: the textbook form that the code avoids. */
function squareRoot(c: Matrix): Matrix {
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(c, { assumeSymmetric: true });
  const root = Matrix.diag(realEigenvalues.map((value) => Math.sqrt(Math.max(0, value))));
  return eigenvectorMatrix.mmul(root).mmul(eigenvectorMatrix.transpose());
}

const model = 12;
const head = 4;
const inputs = randomMatrix(200, model, 1);
const c = inputs
  .transpose()
  .mmul(inputs)
  .mul(1 / 200);

describe('whitened basis', () => {
  const q = randomMatrix(model, head, 2);
  const k = randomMatrix(model, head, 3);
  const basis = queryKeyBasis(q.transpose().mmul(c).mmul(q), k.transpose().mmul(c).mmul(k));

  test('scores stay the same', () => {
    const before = q.mmul(k.transpose());
    const after = q.mmul(basis.query).mmul(k.mmul(basis.key).transpose());
    expect(Matrix.sub(after, before).norm()).toBeLessThan(1e-9 * before.norm());
  });

  test('singular values are those of C^1/2 Wq Wk^T C^1/2', () => {
    const root = squareRoot(c);
    const textbook = new SingularValueDecomposition(
      root.mmul(q).mmul(k.transpose()).mmul(root),
    ).diagonal.slice(0, head);
    expect([...basis.singularValues]).toEqual(textbook.map((value) => expect.closeTo(value, 6)));
  });

  test('cutting the last units is the best truncation of the scores on the data', () => {
    const root = squareRoot(c);
    const scores = (width: number) => {
      const keep = Array.from({ length: width }, (_, i) => i);
      const all = Array.from({ length: model }, (_, i) => i);
      return q
        .mmul(basis.query)
        .subMatrixColumn(keep)
        .mmul(k.mmul(basis.key).subMatrixColumn(keep).transpose())
        .selection(all, all);
    };
    for (let width = 1; width < head; width++) {
      const lost = root
        .mmul(Matrix.sub(q.mmul(k.transpose()), scores(width)))
        .mmul(root)
        .norm();
      const best = Math.sqrt(basis.singularValues.slice(width).reduce((sum, s) => sum + s * s, 0));
      expect(lost).toBeCloseTo(best, 6);
    }
  });

  test('value and projection keep their product', () => {
    const o = randomMatrix(head, model, 4);
    const turned = valueBasis(q.transpose().mmul(c).mmul(q), o);
    const after = q.mmul(turned.value).mmul(turned.projection.mmul(o));
    expect(Matrix.sub(after, q.mmul(o)).norm()).toBeLessThan(1e-9 * q.mmul(o).norm());
  });

  test('values that are projected to nothing, or nearly, keep their size', () => {
    const gram = q.transpose().mmul(c).mmul(q);
    const o = randomMatrix(head, model, 4);
    for (const share of [0, 1e-12, 1e-6]) {
      const turned = valueBasis(gram, Matrix.mul(o, share));
      const variances = turned.value.transpose().mmul(gram).mmul(turned.value).diagonal();
      expect(Math.max(...variances)).toBeCloseTo(gram.trace() / head, 6);
      const after = q.mmul(turned.value).mmul(turned.projection.mmul(o));
      expect(Matrix.sub(after, q.mmul(o)).norm()).toBeLessThan(1e-9 * q.mmul(o).norm());
    }
  });

  test('a head with a dead direction is still turned without loss', () => {
    const dead = q.clone();
    for (let row = 0; row < model; row++) dead.set(row, 3, 0);
    const turned = queryKeyBasis(dead.transpose().mmul(c).mmul(dead), k.transpose().mmul(c).mmul(k));
    const before = dead.mmul(k.transpose());
    const after = dead.mmul(turned.query).mmul(k.mmul(turned.key).transpose());
    expect(Matrix.sub(after, before).norm()).toBeLessThan(1e-5 * before.norm());
  });
});

test('more lift makes directions that carry nothing less large, and the product stays', () => {
  // One direction has a millionth of a millionth of the others' variance: seldom seen in calibration, rounded at full size elsewhere.
  const gram = Matrix.diag([1, 1, 1e-12]);
  const largest = (matrix: Matrix) => Math.max(...matrix.to1DArray().map(Math.abs));
  const [little, much] = [queryKeyBasis(gram, gram), queryKeyBasis(gram, gram, 1e-4)];
  const ratio = ({ query, key }: typeof little) => largest(query) * largest(key);
  expect(ratio(much)).toBeLessThanOrEqual(ratio(little));
  const value = (lift: number) => valueBasis(gram, Matrix.eye(3), lift).value;
  expect(largest(value(1e-4))).toBeLessThan(0.1 * largest(value(1e-9)));
  for (const { query, key } of [little, much])
    expect(largest(query.mmul(key.transpose()).sub(Matrix.eye(3)))).toBeLessThan(1e-9);
});

test('of a projection with many more columns than rows, the basis is that of the same one turned into few', () => {
  const value = randomMatrix(200, head, 4);
  const gram = value.transpose().mmul(value);
  const narrow = randomMatrix(head, 2 * head, 5);
  // Orthonormal rows change neither left vectors nor singular values.
  const turn = new SingularValueDecomposition(
    randomMatrix(40 * head, 2 * head, 6),
  ).leftSingularVectors.transpose();
  const [few, many] = [valueBasis(gram, narrow), valueBasis(gram, narrow.mmul(turn))];
  expect(few.singularValues).toHaveLength(head);
  expect([...many.singularValues]).toEqual([...few.singularValues].map((s) => expect.closeTo(s, 9)));
  // Each column up to its sign.
  const between = few.projection.mmul(many.value);
  expect(Matrix.sub(between.abs(), Matrix.eye(head)).norm()).toBeLessThan(1e-7);
});
