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
