import { expect, test } from 'vitest';
import type { Graph, GraphNode, Tensor } from '../graph/graph.ts';
import type { LinearMap } from '../pairs/pair.ts';
import { refitSegments } from './refit-segments.ts';

const node = (name: string, inputs: string[]): GraphNode => ({
  name,
  opType: 'Op',
  domain: '',
  inputs,
  outputs: [name],
  attributes: {},
});
const weight: Tensor = { dtype: 'float32', dims: [1, 1], data: new Float32Array(1) };
const map = (name: string, input: string, tensor: string): LinearMap => ({
  node: name,
  weight: { tensor, axis: 0, outer: 1, inner: 1 },
  otherAxis: 1,
  input,
  output: name,
});

/** x - stem - a(W1) - + - hidden - b(W2) - + , the stem joining both sums; side reads W1 too. */
const graph: Graph = {
  name: 'residual',
  irVersion: 8,
  opsets: { '': 17 },
  inputs: [{ name: 'x', dtype: 'float32', dims: ['n', 1] }],
  outputs: [{ name: 'second', dtype: 'float32', dims: ['n', 1] }],
  initializers: new Map([
    ['W1', weight],
    ['W2', weight],
  ]),
  nodes: [
    node('stem', ['x']),
    node('side', ['x', 'W1']),
    node('a', ['stem', 'W1']),
    node('first', ['stem', 'a']),
    node('hidden', ['first', 'side']),
    node('b', ['hidden', 'W2']),
    node('second', ['stem', 'b']),
  ],
};
const places = [
  { consumer: map('a', 'stem', 'W1'), stream: 'first' },
  { consumer: map('b', 'hidden', 'W2'), stream: 'second' },
];
const names = (nodes: readonly GraphNode[]) => nodes.map(({ name }) => name);

test('computes once what no refit changes, and again what one does, whoever else reads its matrix', () => {
  const [one, two] = refitSegments(graph, places);
  expect(names(one!.nodes)).toEqual(['stem', 'a', 'first']);
  expect(one!.takes).toEqual(['x']);
  expect(one!.leaves).toEqual(['stem']);
  expect(names(two!.nodes)).toEqual(['side', 'a', 'first', 'hidden', 'b', 'second']);
  expect(two!.takes).toEqual(['x', 'stem']);
  expect(two!.leaves).toEqual([]);
});

test('computes again what cannot be handed on', () => {
  const [one, two] = refitSegments(graph, places, new Set(['stem']));
  expect(one!.leaves).toEqual([]);
  expect(names(two!.nodes)).toContain('stem');
  expect(two!.takes).toEqual(['x']);
});

test('hands on an input of the matrix that was there before', () => {
  const again = [places[0]!, { consumer: map('a', 'stem', 'W1'), stream: 'first' }];
  const [one, two] = refitSegments(graph, again);
  expect(one!.leaves).toEqual(['stem']);
  expect(two!.takes).toEqual(['stem']);
});
