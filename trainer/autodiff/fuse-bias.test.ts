import { expect, test } from 'vitest';
import type { Graph, GraphNode, Tensor } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { relativeError } from '../graph/relative-error.ts';
import { traceGraph } from '../graph/trace.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { factsOf } from './facts.ts';
import { fuseBiases } from './fuse-bias.ts';

const filled = (...dims: number[]): Tensor => ({
  dtype: 'float32',
  dims,
  data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i + dims.length)),
});
const node = (opType: string, inputs: string[], output: string): GraphNode => {
  return { name: `node ${output}`, opType, domain: '', inputs, outputs: [output], attributes: {} };
};

function graphOf(nodes: readonly GraphNode[]): Graph {
  return {
    name: 'maps',
    irVersion: 8,
    opsets: { '': 17 },
    inputs: [{ name: 'x', dtype: 'float32', dims: ['n', 3, 4] }],
    outputs: [{ name: 'y', dtype: 'float32', dims: ['n', 3, 5] }],
    initializers: new Map([
      ['w', filled(4, 5)],
      ['b', filled(5)],
      ['one', filled(1)],
    ]),
    nodes,
  };
}

const typesOf = ({ nodes }: Graph) => nodes.map(({ opType }) => opType);

async function fused(graph: Graph): Promise<Graph> {
  const { traces } = await traceGraph(graph, 'the graph', () => false);
  return fuseBiases(graph, factsOf(traces)).graph;
}

async function answers(graph: Graph): Promise<Float32Array> {
  const session = await createOrtSession(writeOnnx(graph));
  const { y } = await session.run({ x: filled(2, 3, 4) });
  await session.close();
  return y?.data as Float32Array;
}

test('a product and its bias become one operator that gives the same', async () => {
  const graph = graphOf([node('MatMul', ['x', 'w'], 'p'), node('Add', ['b', 'p'], 'y')]);
  const result = await fused(graph);
  expect(typesOf(result)).toEqual(['Reshape', 'Gemm', 'Reshape']);
  expect(relativeError(await answers(result), await answers(graph)).relative).toBeLessThan(1e-6);
});

test.each([
  ['something else reads the product', [node('Add', ['p', 'b'], 'q'), node('Mul', ['p', 'q'], 'y')]],
  ['what is added is no bias', [node('Add', ['p', 'one'], 'y')]],
])('a product stays where %s', async (_, behind) => {
  const graph = graphOf([node('MatMul', ['x', 'w'], 'p'), ...behind]);
  expect(await fused(graph)).toEqual(graph);
});
