import { expect, test } from 'vitest';
import type { Graph, GraphNode, Tensor } from '../graph/graph.ts';
import { scoreMap } from './score-map.ts';

const matrix = (...dims: number[]): Tensor => ({
  dtype: 'float32',
  dims,
  data: new Float32Array(dims.reduce((a, b) => a * b, 1)),
});
const node = (
  opType: string,
  inputs: string[],
  output: string,
  more: Partial<GraphNode> = {},
): GraphNode => ({
  name: output,
  opType,
  domain: '',
  inputs,
  outputs: [output],
  attributes: {},
  ...more,
});

function graphOf(nodes: GraphNode[], initializers: Record<string, Tensor>): Graph {
  const info = (name: string) => ({ name, dtype: 'float32' as const, dims: ['n', 4] });
  return {
    name: 'scores',
    irVersion: 10,
    opsets: { '': 20 },
    inputs: [info('x')],
    outputs: [info('y')],
    // The rest of a model, beside which a small matrix is small.
    initializers: new Map(Object.entries({ body: matrix(100, 10), ...initializers })),
    nodes,
  };
}

const scores = { parts: [{ output: 'y', meaning: 'scores' }] };
const transposed = { attributes: { transB: { kind: 'int', value: 1 } } } as const;

test('is found as MatMul and bias, or as Gemm, with the axis that is contracted', () => {
  const plain = graphOf([node('MatMul', ['x', 'w'], 'p'), node('Add', ['b', 'p'], 'y')], {
    w: matrix(4, 3),
    b: matrix(3),
  });
  expect(scoreMap(plain, scores)).toMatchObject({
    node: 'p',
    weight: { tensor: 'w', axis: 0 },
    otherAxis: 1,
    bias: { tensor: 'b' },
    input: 'x',
    output: 'y',
  });
  const gemm = graphOf([node('Gemm', ['x', 'w', 'b'], 'y', transposed)], { w: matrix(3, 4), b: matrix(3) });
  expect(scoreMap(gemm, scores)).toMatchObject({ weight: { tensor: 'w', axis: 1 }, otherAxis: 0 });
});

test('is found behind what makes probabilities of the scores, or another shape', () => {
  const nodes = [node('MatMul', ['x', 'w'], 'p'), node('Softmax', ['p'], 'q'), node('Squeeze', ['q'], 'y')];
  expect(scoreMap(graphOf(nodes, { w: matrix(4, 3) }), scores)).toMatchObject({ node: 'p', output: 'p' });
  const read = [...nodes, node('Relu', ['p'], 'z')];
  expect(scoreMap(graphOf(read, { w: matrix(4, 3) }), scores)).toBeUndefined();
});

test('is left alone where the matrix serves elsewhere too, as tied embeddings do', () => {
  const embedding = node('Gather', ['w', 'x'], 'e');
  const tied = graphOf([embedding, node('MatMul', ['e', 'w'], 'y')], { w: matrix(4, 4) });
  expect(scoreMap(tied, scores)).toBeUndefined();
});

test('is left alone where it is much of the model', () => {
  const large = graphOf([node('MatMul', ['x', 'w'], 'y')], { w: matrix(40, 10) });
  expect(scoreMap(large, scores)).toBeUndefined();
});

test('one number added to all scores is no bias to refit', () => {
  const nodes = [node('MatMul', ['x', 'w'], 'p'), node('Add', ['p', 'b'], 'y')];
  const found = scoreMap(graphOf(nodes, { w: matrix(4, 3), b: matrix(1) }), scores);
  expect(found).toMatchObject({ node: 'p', output: 'y' });
  expect(found).not.toHaveProperty('bias');
});

test('is not looked for where the answer is no scores', () => {
  const graph = graphOf([node('MatMul', ['x', 'w'], 'y')], { w: matrix(4, 3) });
  expect(scoreMap(graph, { parts: [{ output: 'y', meaning: 'direction' }] })).toBeUndefined();
});

test('is not found behind anything but a linear map', () => {
  const graph = graphOf([node('MatMul', ['x', 'w'], 'p'), node('Tanh', ['p'], 'y')], { w: matrix(4, 3) });
  expect(scoreMap(graph, scores)).toBeUndefined();
});
