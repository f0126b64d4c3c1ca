import { expect, test } from 'vitest';
import type { Graph, GraphNode } from '../graph/graph.ts';
import { keptPairs } from './kept-pairs.ts';
import type { Pair, PreparedModel } from './pair.ts';

const node = (name: string, inputs: string[]): GraphNode => ({
  name,
  opType: 'Relu',
  domain: '',
  inputs,
  outputs: [name],
  attributes: {},
});
const output = (name: string) => ({ name, dtype: 'float32' as const, dims: ['batch'] });

/** Two towers, and what is made of both. */
const graph: Graph = {
  name: 'towers',
  irVersion: 8,
  opsets: { '': 17 },
  inputs: [output('x')],
  outputs: [output('left'), output('right'), output('joint')],
  initializers: new Map(),
  nodes: [node('left', ['x']), node('right', ['x']), { ...node('joint', ['left', 'right']), opType: 'Add' }],
};
const pair = (name: string, ...sites: string[]) =>
  ({ name, units: 4, maskSites: sites.map((tensor) => ({ tensor })) }) as unknown as Pair;
const model: PreparedModel = {
  graph,
  pairs: [pair('a', 'left'), pair('b', 'right'), pair('c', 'right'), pair('d', 'left', 'right')],
  leftAlone: [],
  shapeConstants: [
    { tensor: 's', index: 0, pair: 0, factor: 1 },
    { tensor: 't', index: 1, pair: 2, factor: 2 },
  ],
  shared: [
    { pairs: [0, 1], flops: 1, params: 1 },
    { pairs: [1, 2], flops: 2, params: 2 },
  ],
  flops: 100,
  params: 100,
};

test('pairs that the kept outputs do not depend on are left alone, and indices follow', () => {
  const kept = keptPairs(model, { ...graph, outputs: [output('right')] });
  expect(kept.pairs.map(({ name }) => name)).toEqual(['b', 'c']);
  expect(kept.leftAlone.map(({ name }) => name)).toEqual(['a', 'd']);
  expect(kept.shapeConstants).toEqual([{ tensor: 't', index: 1, pair: 1, factor: 2 }]);
  expect(kept.shared).toEqual([{ pairs: [0, 1], flops: 2, params: 2 }]);
});

test('where all are reached, the model is as it was; where none is, that is an error', () => {
  expect(keptPairs(model, { ...graph, outputs: [output('joint')] })).toBe(model);
  expect(() =>
    keptPairs({ ...model, pairs: [pair('a', 'left')] }, { ...graph, outputs: [output('right')] }),
  ).toThrow('No pair of the model reaches the outputs');
});
