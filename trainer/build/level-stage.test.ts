import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import type { BoundDataset } from '../data/bind-dataset.ts';
import { openDataset } from '../data/open-dataset.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { prepareModel } from '../pairs/prepare.ts';
import type { AnswerPlan } from './answer.ts';
import { calibrate } from './calibrate-model.ts';
import type { Pool } from './calibration.ts';
import { buildLevels, holdoutLoss } from './level-stage.ts';
import { buildOptionsSchema } from './options.ts';
import { silentProgress } from './progress.ts';

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
  // Both examples tell the same, which is nothing: the loss stays in nats.
  expect(await lossWith(0)).toBeCloseTo(divergence, 6);
  expect(await lossWith(7)).toBeCloseTo(divergence, 6);
});

test('a level whose distance is seen in its quality is refitted, however near its scores are', async () => {
  const file = new URL('../../examples/digits/digits.onnx', import.meta.url);
  const prepared = await prepareModel(await readFile(file), 'digits');
  const options = buildOptionsSchema.parse({ id: 'digits', task: 'distil', loss: 'mse', calibration: 128 });
  const calibrated = await calibrate(prepared, await openDataset('mnist'), options, silentProgress);
  const order = prepared.pairs.map(({ units }) => Array.from({ length: units }, (_, unit) => unit));
  const widths = [0.985, 1].map((share) => prepared.pairs.map(({ units }) => Math.round(share * units)));
  const made = async (compensate: boolean) => {
    const [level] = await buildLevels(calibrated, order, widths, { compensate }, silentProgress);
    const loss = await holdoutLoss(level!.cut, calibrated.pool, calibrated.holdoutTeacher, 1);
    return { refitted: level?.refitted, loss };
  };
  const [cut, refitted] = [await made(false), await made(true)];
  // Nearer than two thousandths, and still not as near as it could be.
  expect(cut.loss).toBeGreaterThan(1e-4);
  expect(cut.loss).toBeLessThan(2e-3);
  expect(refitted.refitted).toBe(true);
  expect(refitted.loss).toBeLessThan(0.9 * cut.loss);

  // Training that has gone astray, or that left no numbers, is not refitted where the level itself comes nearer.
  const uncut = await buildLevels(calibrated, order, widths, { compensate: false }, silentProgress);
  for (const by of [1.5, Number.NaN]) {
    const trained = uncut.map((level) => ({
      ...level,
      cut: { ...level.cut, initializers: astray(level.cut.initializers, by) },
    }));
    const [kept] = await buildLevels(
      calibrated,
      order,
      widths,
      { compensate: true },
      silentProgress,
      undefined,
      trained,
    );
    expect(kept?.loss).toBeCloseTo(refitted.loss, 6);
  }
  const broken = { ...prepared.graph, initializers: astray(prepared.graph.initializers, Number.NaN) };
  expect(await holdoutLoss(broken, calibrated.pool, calibrated.holdoutTeacher, 1)).toBe(Infinity);
  // Of the dense model, everything would be held to that.
  await expect(
    calibrate({ ...prepared, graph: broken }, await openDataset('mnist'), options, silentProgress),
  ).rejects.toMatchObject({ code: 'numerical-failure' });
});

/** Every vector so many times as large. */
function astray(initializers: Graph['initializers'], by: number): Graph['initializers'] {
  return new Map(
    [...initializers].map(([name, tensor]) => {
      const { data, dims } = tensor;
      if (dims.length !== 1 || !(data instanceof Float32Array)) return [name, tensor];
      return [name, { ...tensor, data: data.map((value) => by * value) }];
    }),
  );
}

test('of scores that hardly differ, how far a level is counts as a share of what they tell', async () => {
  const lossAt = async (scale: number) => {
    const scores = (...rows: number[]): Tensor => ({
      dtype: 'float32',
      dims: [2, 2],
      data: Float32Array.from(rows, (value) => scale * value),
    });
    const graph: Graph = {
      ...through,
      inputs: [{ name: 'x', dtype: 'float32', dims: ['batch', 2] }],
      outputs: [{ name: 'logits', dtype: 'float32', dims: ['batch', 2] }],
    };
    const train = { count: 2, feeds: async () => ({ x: scores(0.5, 0, 0, 0.5) }) };
    const part = { output: 'logits', meaning: 'scores', shape: [2], scale: 1 } as const;
    const task = {
      name: 'distil',
      outputs: ['logits'],
      form: 'plain',
      parts: [part],
      loss: 'kl',
      measure: 'distil',
    } as const;
    const data = { name: 'none', fields: [], train, test: train, sha256: '', recipe: {}, length: 1 };
    const pool = {
      data,
      task,
      output: 'logits',
      answer: [2],
      block: 2,
      indices: [],
      holdout: [0, 1],
      all: [],
    };
    return holdoutLoss(graph, pool, scores(1, 0, 0, 1), 1);
  };
  // Half of each score: a quarter of what they tell, to second order.
  expect(await lossAt(1e-3)).toBeCloseTo(0.25, 4);
  expect(await lossAt(1e-2)).toBeCloseTo(0.25, 3);
});
