import { describe, expect, test } from 'vitest';
import type { BoundDataset } from '../data/bind-dataset.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import type { TaskName } from '../measure/task.ts';
import { outline, planAnswer } from './answer-plan.ts';
import type { LossName } from './options.ts';

const logits = { name: 'logits', shape: [5] };
const tokenLogits = { name: 'logits', shape: [8, 5] };
const hidden = { name: 'last_hidden_state', shape: [8, 6] };
const pooled = { name: 'pooler_output', shape: [6] };
const image = { name: 'image_embeds', shape: [4] };
const text = { name: 'text_embeds', shape: [4] };

const split = { count: 40, feeds: async () => ({}) };
const data: BoundDataset = {
  name: 'none',
  fields: [],
  train: split,
  test: split,
  sha256: '',
  recipe: {},
  length: 8,
  maskInput: 'attention_mask',
};

function outlined(name: TaskName, shapes: readonly { name: string; shape: number[] }[], loss: LossName) {
  const task = { name, outputs: shapes.map((shape) => shape.name) };
  return outline({ data, task, shapes, loss });
}

describe('the loss follows from what the outputs mean', () => {
  test.each([
    ['class scores', 'classification', [logits], 'distil', 'plain', 'kl', 'classification', false],
    ['token scores', 'next-token', [tokenLogits], 'distil', 'plain', 'kl', 'next-token', true],
    ['an embedding', 'embedding', [pooled], 'distil', 'plain', 'squared', 'embedding', false],
    ['token embeddings', 'embedding', [hidden], 'distil', 'plain', 'squared', 'embedding', true],
    ['two towers', 'contrastive', [image, text], 'distil', 'bank', 'kl', 'contrastive', false],
    [
      'two towers by cosine',
      'contrastive',
      [image, text],
      'cosine',
      'plain',
      'squared',
      'contrastive',
      false,
    ],
    ['scores without labels', 'distil', [logits], 'distil', 'plain', 'kl', 'distil', false],
    ['a vector without labels', 'distil', [pooled], 'distil', 'plain', 'squared', 'fidelity', false],
    ['a vector called scores', 'distil', [pooled], 'kl', 'plain', 'kl', 'distil', false],
    ['a vector by cosine', 'distil', [pooled], 'cosine', 'plain', 'squared', 'embedding', false],
    ['class scores by value', 'classification', [logits], 'mse', 'plain', 'squared', 'classification', false],
    ['several outputs', 'distil', [hidden, logits], 'distil', 'joint', 'squared', 'fidelity', true],
  ] as const)('%s', (_, task, shapes, loss, form, kind, measure, masked) => {
    const plan = outlined(
      task,
      shapes.map(({ name, shape }) => ({ name, shape: [...shape] })),
      loss,
    );
    expect([plan.form, plan.loss, plan.measure]).toEqual([form, kind, measure]);
    expect(plan.mask).toBe(masked ? 'attention_mask' : undefined);
  });

  test('probabilities are told, and one number is compared by value', () => {
    const chances = { name: 'y', shape: [5], chances: true as const };
    const task = { name: 'distil', outputs: ['y'] } as const;
    const asScores = outline({ data, task, shapes: [chances], loss: 'distil' });
    expect(asScores).toMatchObject({
      loss: 'kl',
      measure: 'distil',
      parts: [{ meaning: 'scores', chances: true }],
    });
    const number = { name: 'logits', shape: [1] };
    expect(outlined('distil', [number], 'distil')).toMatchObject({ loss: 'squared', measure: 'fidelity' });
    const pixels = { name: 'logits', shape: [5, 8, 8] };
    expect(outlined('distil', [pixels], 'distil')).toMatchObject({ loss: 'squared', measure: 'fidelity' });
    expect(outlined('classification', [number], 'distil')).toMatchObject({ loss: 'kl' });
    expect(() => outlined('distil', [number], 'cosine')).toThrow(/single numbers/);
  });

  test('columns that may be so together are compared by value, but for class labels', () => {
    const tags = { name: 'probabilities', shape: [5], shares: true as const };
    const planned = (name: TaskName, shape: typeof tags | { name: string; shape: number[]; apart: true }) =>
      outline({ data, task: { name, outputs: [shape.name] }, shapes: [shape], loss: 'distil' });
    expect(planned('distil', tags)).toMatchObject({ loss: 'squared', measure: 'fidelity' });
    expect(planned('distil', { ...logits, apart: true })).toMatchObject({
      loss: 'squared',
      measure: 'fidelity',
    });
    expect(planned('classification', tags)).toMatchObject({ loss: 'kl', parts: [{ chances: true }] });
  });

  test('a mask belongs to outputs with as many rows as it has tokens', () => {
    const [written, queries] = [
      { name: 'logits', shape: [3, 5] },
      { name: 'boxes', shape: [7, 4] },
    ];
    const decoder = { ...data, maskInput: 'decoder_attention_mask', maskTokens: 3 };
    const plan = outline({
      data: decoder,
      task: { name: 'distil', outputs: ['logits', 'boxes'] },
      shapes: [written, queries],
      loss: 'distil',
    });
    expect(plan).toMatchObject({ mask: 'decoder_attention_mask', maskTokens: 3 });
    expect(
      outline({
        data: decoder,
        task: { name: 'distil', outputs: ['boxes'] },
        shapes: [queries],
        loss: 'distil',
      }).mask,
    ).toBeUndefined();
  });

  test('labels are wanted where there are none', () => {
    expect(() => outlined('embedding', [pooled], 'cross-entropy')).toThrow(/no labels/);
  });
});

/** y = x, two values an example, the second ten times as wide as the first. */
const through: Graph = {
  name: 'through',
  irVersion: 8,
  opsets: { '': 17 },
  inputs: [{ name: 'x', dtype: 'float32', dims: ['batch', 2] }],
  outputs: [{ name: 'y', dtype: 'float32', dims: ['batch', 2] }],
  initializers: new Map(),
  nodes: [{ name: 'y', opType: 'Identity', domain: '', inputs: ['x'], outputs: ['y'], attributes: {} }],
};

function dataOf(value: (index: number) => number): BoundDataset {
  const feeds = async (indices: readonly number[]) => ({
    x: {
      dtype: 'float32',
      dims: [indices.length, 2],
      data: Float32Array.from(indices.flatMap((index) => [7 + value(index), 10 * value(index)])),
    } satisfies Tensor,
  });
  const wide = { count: 40, feeds };
  return { ...data, train: wide, test: wide };
}

const task = { name: 'distil', outputs: ['y'] } as const;
const shapes = [{ name: 'y', shape: [2] }];

test('values come in units of their own variance', async () => {
  const alternating = dataOf((index) => (index % 2 === 0 ? 1 : -1));
  const { parts } = await planAnswer({
    graph: through,
    data: alternating,
    task,
    shapes,
    loss: 'distil',
    seed: 0,
  });
  // Variances 1 and 100: two values of mean variance 50.5 a row.
  expect(parts[0]?.scale).toBeCloseTo(1 / Math.sqrt(2 * 50.5), 5);
});

test('and in the same units however much padding there is', async () => {
  const scaleWith = async (padding: number) => {
    const tokens = 1 + padding;
    const feeds = async (indices: readonly number[]) => ({
      x: {
        dtype: 'float32',
        dims: [indices.length, tokens, 2],
        // What the model makes of padding is as large as all else.
        data: Float32Array.from(
          indices
            .flatMap((index) =>
              Array.from({ length: tokens }, (_, token) => [7 + signOf(index + token), 10 * signOf(index)]),
            )
            .flat(),
        ),
      } satisfies Tensor,
      mask: {
        dtype: 'int64',
        dims: [indices.length, tokens],
        data: BigInt64Array.from(indices.flatMap(() => [1n, ...Array<bigint>(padding).fill(0n)])),
      } satisfies Tensor,
    });
    const graph: Graph = {
      ...through,
      inputs: [
        { name: 'x', dtype: 'float32', dims: ['batch', 'tokens', 2] },
        { name: 'mask', dtype: 'int64', dims: ['batch', 'tokens'] },
      ],
      outputs: [{ name: 'y', dtype: 'float32', dims: ['batch', 'tokens', 2] }],
    };
    const padded = { ...data, train: { count: 40, feeds }, length: tokens, maskInput: 'mask' };
    const shapes = [{ name: 'y', shape: [tokens, 2] }];
    return planAnswer({ graph, data: padded, task, shapes, loss: 'distil', seed: 0 });
  };
  expect((await scaleWith(0)).parts[0]?.scale).toBeCloseTo(1 / Math.sqrt(2 * 50.5), 5);
  expect((await scaleWith(3)).parts[0]?.scale).toBeCloseTo(1 / Math.sqrt(2 * 50.5), 5);
});

const signOf = (index: number) => (index % 2 === 0 ? 1 : -1);

test('a model that answers all examples alike is refused', async () => {
  const constant = dataOf(() => 1);
  await expect(
    planAnswer({ graph: through, data: constant, task, shapes, loss: 'distil', seed: 0 }),
  ).rejects.toMatchObject({ code: 'numerical-failure' });
});
