/** What is found out by running a model once or twice: its outputs, whether they see later tokens, how long a text may be. */
import { describe, expect, test } from 'vitest';
import type { BoundDataset } from '../data/bind-dataset.ts';
import type { Attribute, Graph, GraphNode, Tensor } from '../graph/graph.ts';
import { fittingLength } from '../runtime/fitting-length.ts';
import { checkedTokens } from './checked-tokens.ts';
import { probeOutputs } from './probe-outputs.ts';
import { textLength } from './text-length.ts';

const node = (
  opType: string,
  inputs: string[],
  output: string,
  attributes: Record<string, Attribute> = {},
): GraphNode => ({ name: output, opType, domain: '', inputs, outputs: [output], attributes });

const [ROWS, POSITIONS, WIDTH] = [6, 40, 3];

/** 0, 1, ... below a count, of one example. */
const ids = (count: number): Tensor => ({
  dtype: 'int64',
  dims: [1, count],
  data: BigInt64Array.from({ length: count }, (_, i) => BigInt(i)),
});
const table = (rows: number): Tensor => ({
  dtype: 'float32',
  dims: [rows, WIDTH],
  data: Float32Array.from({ length: rows * WIDTH }, (_, i) => Math.sin(i)),
});
const int64 = (...values: number[]): Tensor => ({
  dtype: 'int64',
  dims: [values.length],
  data: BigInt64Array.from(values, BigInt),
});
const scalar = (value: number): Tensor => ({ ...int64(value), dims: [] });

/**
 * Token and position tables, then sums over all tokens so far (`causal`), over all tokens (`seeing`), one row an example
 * (`pooled`), and all examples against each other (`pairwise`).
 */
const graph: Graph = {
  name: 'sums of embeddings',
  irVersion: 8,
  opsets: { '': 17 },
  inputs: [{ name: 'input_ids', dtype: 'int64', dims: ['batch', 'sequence'] }],
  outputs: [
    { name: 'causal', dtype: 'float32', dims: ['batch', 'sequence', WIDTH] },
    { name: 'seeing', dtype: 'float32', dims: ['batch', 'sequence', WIDTH] },
    { name: 'pooled', dtype: 'float32', dims: ['batch', WIDTH] },
    { name: 'pairwise', dtype: 'float32', dims: ['batch', 'others'] },
    { name: 'chances', dtype: 'float32', dims: ['batch', WIDTH] },
    { name: 'number', dtype: 'float32', dims: ['batch'] },
    { name: 'share', dtype: 'float32', dims: ['batch'] },
  ],
  initializers: new Map([
    ['tokens', table(ROWS)],
    ['positions', table(POSITIONS)],
    ['zero', scalar(0)],
    ['one', scalar(1)],
    ['axis', int64(1)],
  ]),
  nodes: [
    node('Gather', ['tokens', 'input_ids'], 'embedded'),
    node('Shape', ['input_ids'], 'shape'),
    node('Gather', ['shape', 'one'], 'length'),
    node('Range', ['zero', 'length', 'one'], 'places'),
    node('Gather', ['positions', 'places'], 'placed'),
    node('Add', ['embedded', 'placed'], 'hidden'),
    node('CumSum', ['hidden', 'one'], 'causal'),
    node('ReduceSum', ['hidden', 'axis'], 'all', { keepdims: { kind: 'int', value: 1 } }),
    node('Add', ['hidden', 'all'], 'seeing'),
    node('ReduceSum', ['hidden', 'axis'], 'pooled', { keepdims: { kind: 'int', value: 0 } }),
    node('Transpose', ['pooled'], 'turned', { perm: { kind: 'ints', value: [1, 0] } }),
    node('MatMul', ['pooled', 'turned'], 'pairwise'),
    node('Softmax', ['pooled'], 'chances', { axis: { kind: 'int', value: -1 } }),
    node('ReduceSum', ['pooled', 'axis'], 'number', { keepdims: { kind: 'int', value: 0 } }),
    node('Sigmoid', ['number'], 'share'),
  ],
};

function dataOf(length: number, token: (place: number) => number = (place) => place % ROWS): BoundDataset {
  const split = {
    count: 4,
    feeds: async (indices: readonly number[]) => ({
      input_ids: {
        dtype: 'int64',
        dims: [indices.length, length],
        data: BigInt64Array.from(
          indices.flatMap((index) =>
            Array.from({ length }, (_, place) => BigInt(token(index * length + place))),
          ),
        ),
      } satisfies Tensor,
    }),
  };
  return {
    name: 'the data',
    fields: [],
    train: split,
    test: split,
    sha256: '',
    recipe: {},
    length,
    tokensInput: 'input_ids',
  };
}

describe('outputs', () => {
  test('with one row an example, and whether they see later tokens; not those that compare examples', async () => {
    expect(await probeOutputs(graph, dataOf(7))).toEqual([
      { name: 'causal', shape: [7, WIDTH], causal: true },
      { name: 'seeing', shape: [7, WIDTH], causal: false },
      { name: 'pooled', shape: [WIDTH] },
      { name: 'chances', shape: [WIDTH], chances: true },
      { name: 'number', shape: [1] },
      { name: 'share', shape: [1], chances: true },
    ]);
  });

  test('not those whose rows depend on what else is run, as where the first axis is no batch', async () => {
    const different: BoundDataset['train'] = {
      count: 4,
      feeds: async (indices) => ({
        input_ids: {
          dtype: 'int64',
          dims: [indices.length, 7],
          data: BigInt64Array.from(
            indices.flatMap((index) => Array.from({ length: 7 }, () => BigInt(index))),
          ),
        },
      }),
    };
    const across: Graph = {
      ...graph,
      outputs: [
        { name: 'back', dtype: 'float32', dims: ['batch', 'sequence', WIDTH] },
        { name: 'pooled', dtype: 'float32', dims: ['batch', WIDTH] },
      ],
      nodes: [...graph.nodes, node('CumSum', ['hidden', 'zero'], 'back')],
    };
    const data = { ...dataOf(7), train: different };
    expect((await probeOutputs(across, data)).map(({ name }) => name)).toEqual(['pooled']);
    const alone = { ...across, outputs: across.outputs.slice(0, 1) };
    await expect(probeOutputs(alone, data)).rejects.toThrow(
      'output back answers an example otherwise when other examples are run with it',
    );
  });

  test('single numbers that are within 0 and 1 only in the first examples are no probabilities', async () => {
    const through: Graph = {
      ...graph,
      inputs: [{ name: 'x', dtype: 'float32', dims: ['batch'] }],
      outputs: [{ name: 'y', dtype: 'float32', dims: ['batch'] }],
      initializers: new Map(),
      nodes: [node('Identity', ['x'], 'y')],
    };
    const upTo = (most: number): BoundDataset => {
      const feeds = async (indices: readonly number[]) => ({
        x: {
          dtype: 'float32',
          dims: [indices.length],
          data: Float32Array.from(indices, (index) => (index / 20) * most),
        } satisfies Tensor,
      });
      const { tokensInput: _, ...data } = dataOf(1);
      return { ...data, train: { count: 20, feeds }, test: { count: 20, feeds } };
    };
    expect(await probeOutputs(through, upTo(1))).toEqual([{ name: 'y', shape: [1], chances: true }]);
    expect(await probeOutputs(through, upTo(2))).toEqual([{ name: 'y', shape: [1] }]);
  });

  test('texts longer than the model has positions for', async () => {
    await expect(probeOutputs(graph, dataOf(POSITIONS + 1))).rejects.toMatchObject({
      code: 'bad-model',
      hint: expect.stringContaining('shorter --length'),
    });
  });
});

test('the longest text that the model has positions for', async () => {
  expect(await fittingLength(graph, 128)).toBe(POSITIONS);
  expect(await fittingLength(graph, 30)).toBe(30);
});

test('positions that are an input of their own end the text with their table', async () => {
  const places = { name: 'position_ids', dtype: 'int64', dims: ['batch', 'length'] } as const;
  const own: Graph = {
    ...graph,
    inputs: [places],
    outputs: [{ name: 'y', dtype: 'float32', dims: ['batch', 'length', WIDTH] }],
    initializers: new Map([['table', table(7)]]),
    nodes: [node('Gather', ['table', 'position_ids'], 'y')],
  };
  expect(await textLength(own, 128)).toBe(7);
  const data = { ...dataOf(5), train: { ...dataOf(5).train, feeds: async () => ({ position_ids: ids(8) }) } };
  await expect(checkedTokens(own, data).train.feeds([0])).rejects.toMatchObject({
    message: expect.stringMatching(/position 7, .*position_ids .* 7 positions/),
    hint: expect.stringContaining('--length 7'),
  });
});

test('tokens beyond the table that they are looked up in are named', async () => {
  const own = checkedTokens(graph, dataOf(5));
  expect(await own.train.feeds([0])).toEqual(await dataOf(5).train.feeds([0]));
  const foreign = checkedTokens(
    graph,
    dataOf(5, (place) => place + 3),
  );
  await expect(foreign.test.feeds([0])).rejects.toMatchObject({
    code: 'bad-data',
    message: expect.stringMatching(/token 6, .*input_ids .* 6 entries/),
  });
});
