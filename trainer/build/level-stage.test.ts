import { expect, test } from 'vitest';
import type { BoundDataset } from '../data/bind-dataset.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import type { AnswerPlan } from './answer.ts';
import type { Pool } from './calibration.ts';
import { holdoutLoss } from './level-stage.ts';

/** Scores of two classes a token that are the input, and a mask. */
const through: Graph = {
  name: 'through',
  irVersion: 8,
  opsets: { '': 17 },
  inputs: [
    { name: 'x', dtype: 'float32', dims: ['batch', 'tokens', 2] },
    { name: 'mask', dtype: 'int64', dims: ['batch', 'tokens'] },
  ],
  outputs: [{ name: 'logits', dtype: 'float32', dims: ['batch', 'tokens', 2] }],
  initializers: new Map(),
  nodes: [
    { name: 'logits', opType: 'Identity', domain: '', inputs: ['x'], outputs: ['logits'], attributes: {} },
  ],
};

test('how far a level is from the dense model does not depend on how much padding examples have', async () => {
  const lossWith = async (padding: number) => {
    const tokens = 1 + padding;
    const feeds = async (indices: readonly number[]) => ({
      x: {
        dtype: 'float32',
        dims: [indices.length, tokens, 2],
        data: new Float32Array(indices.length * tokens * 2),
      } satisfies Tensor,
      mask: {
        dtype: 'int64',
        dims: [indices.length, tokens],
        data: BigInt64Array.from({ length: indices.length * tokens }, (_, i) => (i % tokens === 0 ? 1n : 0n)),
      } satisfies Tensor,
    });
    const train = { count: 2, feeds };
    const task: AnswerPlan = {
      name: 'distil',
      outputs: ['logits'],
      form: 'plain',
      parts: [{ output: 'logits', meaning: 'scores', shape: [tokens, 2], scale: 1 }],
      loss: 'kl',
      measure: 'distil',
      mask: 'mask',
    };
    const data: BoundDataset = {
      name: 'none',
      fields: [],
      train,
      test: train,
      sha256: '',
      recipe: {},
      length: tokens,
      maskInput: 'mask',
    };
    const answer = [tokens, 2];
    const pool: Pool = {
      data,
      task,
      output: 'logits',
      answer,
      block: 2,
      indices: [],
      holdout: [0, 1],
      all: [],
    };
    const teacher: Tensor = { dtype: 'float32', dims: [2, tokens, 2], data: new Float32Array(4 * tokens) };
    // 3/4 to 1/4 where the level says one half.
    for (const row of [0, 1]) teacher.data[row * tokens * 2] = Math.log(3);
    return holdoutLoss(through, pool, teacher, 1);
  };
  const divergence = 0.75 * Math.log(1.5) + 0.25 * Math.log(0.5);
  expect(await lossWith(0)).toBeCloseTo(divergence, 6);
  expect(await lossWith(7)).toBeCloseTo(divergence, 6);
});
