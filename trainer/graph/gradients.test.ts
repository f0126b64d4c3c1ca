import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import { startBackend } from '../engine/backend.ts';

beforeAll(async () => {
  await startBackend('cpu');
});

test('a value that is added to two others collects both gradients', () => {
  const gradient = tf.grad((x) => {
    const [twice, thrice] = [tf.mul(x, 2), tf.mul(x, 3)];
    return tf.sum(tf.add(tf.add(twice, thrice), twice));
  });
  expect(Array.from(gradient(tf.tensor1d([1, 2])).dataSync())).toEqual([7, 7]);
});

test.each([
  ['max', tf.max, [0, 1, 0, 1, 0, 0]],
  ['min', tf.min, [1, 0, 0, 0, 0, 1]],
] as const)(
  'the %s of each row, kept or dropped, passes its gradient to the one element that it is',
  (_, extreme, expected) => {
    for (const keepDims of [false, true]) {
      const gradient = tf.grad((x) => tf.sum(extreme(x, 1, keepDims)));
      const rows = tf.tensor2d([-1, 3, 2, 5, 4, -2], [2, 3]);
      expect(Array.from(gradient(rows).dataSync())).toEqual(expected);
    }
  },
);

test('an exponent has no gradient where its base is not positive, and there is none that is no number', () => {
  const towards = tf.grads((a: tf.Tensor, b: tf.Tensor) => tf.sum(tf.pow(a, b)));
  const [base, exponent] = towards([tf.tensor1d([0, -1, 2]), tf.tensor1d([2, 2, 2])]);
  expect(Array.from(base!.dataSync())).toEqual([0, -2, 4]);
  const [zero, negative, positive] = exponent!.dataSync();
  expect([zero, negative].map(Math.abs as (x: number | undefined) => number)).toEqual([0, 0]);
  expect(positive).toBeCloseTo(4 * Math.log(2), 5);
});
