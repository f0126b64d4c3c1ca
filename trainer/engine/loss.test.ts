import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import { relativeError } from '../graph/relative-error.ts';
import { startBackend } from './backend.ts';
import { type LossTarget, lossSum } from './loss.ts';

beforeAll(async () => {
  await startBackend('cpu');
});

const classes = 3;
const logits = [2, -1, 0.5, 80, -90, 3, 0.1, 0.2, 0.3];
const teacher = [1, 1, -2, 70, -70, 0, 0.5, -0.5, 0];

/** Plain float64. */
function softmax(values: readonly number[]): number[] {
  const top = Math.max(...values);
  const weights = values.map((value) => Math.exp(value - top));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

const rowsOf = (values: readonly number[]) =>
  [0, 1, 2].map((r) => values.slice(r * classes, (r + 1) * classes));

function evaluate(target: LossTarget): { loss: number; rows: number; gradient: Float32Array } {
  let rows = 0;
  const { value, grad } = tf.valueAndGrad((x: tf.Tensor) => {
    const made = lossSum(x, target);
    rows = made.rows;
    return made.sum;
  })(tf.tensor(logits, [3, classes]));
  return { loss: value.dataSync()[0] as number, rows, gradient: grad.dataSync<'float32'>() };
}

test('sums the divergence from the teacher over rows, without overflow', () => {
  const { loss, rows, gradient } = evaluate({
    kind: 'kl',
    output: 'y',
    teacher: { dtype: 'float32', dims: [3, classes], data: Float32Array.from(teacher) },
  });
  let expected = 0;
  const slope = rowsOf(teacher).flatMap((row, r) => {
    const p = softmax(row);
    const own = rowsOf(logits)[r] as number[];
    const q = softmax(own);
    p.forEach((weight, c) => {
      if (weight > 0) expected += weight * Math.log(weight / Math.max(q[c] as number, 1e-300));
    });
    return q.map((weight, c) => weight - (p[c] as number));
  });
  expect(loss).toBeCloseTo(expected, 4);
  expect(rows).toBe(3);
  expect(relativeError(gradient, slope).relative).toBeLessThan(1e-5);
});

test('sums half the squared distance from the teacher', () => {
  const { loss, rows, gradient } = evaluate({
    kind: 'squared',
    output: 'y',
    teacher: { dtype: 'float32', dims: [3, classes], data: Float32Array.from(teacher) },
  });
  const gaps = logits.map((value, i) => value - (teacher[i] as number));
  expect(loss).toBeCloseTo(
    gaps.reduce((sum, gap) => sum + (gap * gap) / 2, 0),
    3,
  );
  expect(rows).toBe(3);
  expect(relativeError(gradient, gaps).relative).toBeLessThan(1e-6);
});

test('sums the cross-entropy over the rows that have a label', () => {
  const labels = Int32Array.of(2, -1, 0);
  const { loss, rows, gradient } = evaluate({ kind: 'cross-entropy', output: 'y', labels });
  const probabilities = rowsOf(logits).map(softmax);
  const expected = -Math.log(probabilities[0]?.[2] as number) - Math.log(probabilities[2]?.[0] as number);
  const slope = probabilities.flatMap((row, r) =>
    row.map((q, c) => (labels[r] === -1 ? 0 : q - (labels[r] === c ? 1 : 0))),
  );
  expect(loss).toBeCloseTo(expected, 5);
  expect(rows).toBe(2);
  expect(relativeError(gradient, slope).relative).toBeLessThan(1e-5);
});

test('refuses labels and teachers that do not fit the logits', () => {
  const labels = (...values: number[]): LossTarget => ({
    kind: 'cross-entropy',
    output: 'y',
    labels: Int32Array.from(values),
  });
  expect(() => evaluate(labels(0, 1))).toThrow('2 labels for 3 rows');
  expect(() => evaluate(labels(0, 1, 3))).toThrow('label 3 is outside');
  const data = new Float32Array(6);
  expect(() =>
    evaluate({ kind: 'kl', output: 'y', teacher: { dtype: 'float32', dims: [2, 3], data } }),
  ).toThrow('does not match 3 rows');
});
