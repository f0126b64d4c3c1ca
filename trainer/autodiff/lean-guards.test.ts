import { expect, test } from 'vitest';
import type { Graph, GraphNode, Tensor } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { leanGuards } from './lean-guards.ts';

const node = (opType: string, inputs: string[], output: string): GraphNode => {
  return { name: `node ${output}`, opType, domain: '', inputs, outputs: [output], attributes: {} };
};
const tensor = (dims: number[], ...values: number[]): Tensor => ({
  dtype: 'float32',
  dims,
  data: Float32Array.from(values),
});

/** @param nodes from scores [2, 3] to shares */
function guarded(nodes: readonly GraphNode[], zero = tensor([], 0)): Graph {
  return {
    name: 'attention',
    irVersion: 8,
    opsets: { '': 17 },
    inputs: [{ name: 'scores', dtype: 'float32', dims: [2, 3] }],
    outputs: [{ name: 'shares', dtype: 'float32', dims: ['a', 'b'] }],
    initializers: new Map([['zero', zero]]),
    nodes,
  };
}
const usual = [
  node('Softmax', ['scores'], 'soft'),
  node('IsNaN', ['soft'], 'nothing'),
  node('Where', ['nothing', 'zero', 'soft'], 'shares'),
];
const typesOf = ({ nodes }: Graph) => nodes.map(({ opType }) => opType);

async function sharesOf(graph: Graph): Promise<number[]> {
  const session = await createOrtSession(writeOnnx(graph));
  const { NEGATIVE_INFINITY: hidden } = Number;
  const { shares } = await session.run({ scores: tensor([2, 3], hidden, hidden, hidden, 1, hidden, 2) });
  await session.close();
  return [...(shares?.data ?? [])].map(Number);
}

test('a row with nothing to attend to still gives zeros, in one node', async () => {
  const graph = guarded(usual);
  const lean = leanGuards(graph);
  expect(typesOf(lean)).toEqual(['Softmax', 'ThresholdedRelu']);
  const shares = await sharesOf(lean);
  expect(shares.slice(0, 3)).toEqual([0, 0, 0]);
  expect(shares[3]).toBeGreaterThan(0);
  expect(shares).toEqual(await sharesOf(graph));
});

test.each([
  ['another value', usual, tensor([], 1)],
  ['a zero of more axes', usual, tensor([1, 1, 1], 0)],
  ['what may be below zero', [node('Tanh', ['scores'], 'soft'), ...usual.slice(1)], tensor([], 0)],
  [
    'a question about something else',
    [usual[0], node('IsNaN', ['scores'], 'nothing'), usual[2]],
    tensor([], 0),
  ],
  [
    'the other way round',
    [usual[0], usual[1], node('Where', ['nothing', 'soft', 'zero'], 'shares')],
    tensor([], 0),
  ],
])('%s stays as it is', (_, nodes, zero) => {
  const graph = guarded(nodes as GraphNode[], zero);
  expect(leanGuards(graph)).toBe(graph);
});

test('the question stays where something else reads it', async () => {
  const graph = guarded(usual);
  const lean = leanGuards({
    ...graph,
    outputs: [...graph.outputs, { name: 'nothing', dtype: 'bool', dims: [2, 3] }],
  });
  expect(typesOf(lean)).toEqual(['Softmax', 'IsNaN', 'ThresholdedRelu']);
});
