import { expect, test } from 'vitest';
import type { Attribute, Graph, GraphNode, Tensor } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { relativeError } from '../graph/relative-error.ts';
import { int64 } from '../graph/rewrite.ts';
import { traceGraph } from '../graph/trace.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { factsOf } from './facts.ts';
import { narrowRows } from './narrow-rows.ts';

const node = (
  opType: string,
  inputs: string[],
  output: string,
  attributes: Record<string, Attribute> = {},
): GraphNode => ({ name: `node ${output}`, opType, domain: '', inputs, outputs: [output], attributes });

const filled = (...dims: number[]): Tensor => ({
  dtype: 'float32',
  dims,
  data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i + dims.length)),
});
const perm = (...value: number[]): Record<string, Attribute> => ({ perm: { kind: 'ints', value } });
const slice = (from: string, to: string): GraphNode => node('Slice', [from, 'start', 'end', 'axis'], to);

/** Attention in two heads over tokens [n, 5, 4], a residual connection and a layer behind it; then some of the tokens. */
function block(nodes: readonly GraphNode[], last: string): Graph {
  return {
    name: 'a block',
    irVersion: 8,
    opsets: { '': 17 },
    inputs: [{ name: 'x', dtype: 'float32', dims: ['n', 5, 4] }],
    outputs: [{ name: last, dtype: 'float32', dims: ['n', 'rows', 4] }],
    initializers: new Map<string, Tensor>([
      ...['q', 'k', 'out', 'layer'].map((name): [string, Tensor] => [name, filled(4, 4)]),
      ['table', filled(1, 5, 4)],
      ['ones', filled(4)],
      ['heads', int64([-1, 5, 2, 2])],
      ['joined', int64([-1, 5, 4])],
      ['start', int64([1])],
      ['end', int64([2])],
      ['axis', int64([1])],
    ]),
    nodes: [
      node('Add', ['x', 'table'], 'tokens'),
      node('MatMul', ['tokens', 'q'], 'queries'),
      node('MatMul', ['tokens', 'k'], 'keys'),
      node('Reshape', ['queries', 'heads'], 'queryHeads'),
      node('Reshape', ['keys', 'heads'], 'keyHeads'),
      node('Transpose', ['queryHeads'], 'rows', perm(0, 2, 1, 3)),
      node('Transpose', ['keyHeads'], 'columns', perm(0, 2, 3, 1)),
      node('Transpose', ['keyHeads'], 'values', perm(0, 2, 1, 3)),
      node('MatMul', ['rows', 'columns'], 'scores'),
      node('Softmax', ['scores'], 'shares'),
      node('MatMul', ['shares', 'values'], 'mixed'),
      node('Transpose', ['mixed'], 'turned', perm(0, 2, 1, 3)),
      node('Reshape', ['turned', 'joined'], 'merged'),
      node('MatMul', ['merged', 'out'], 'attended'),
      node('Add', ['tokens', 'attended'], 'stream'),
      node('LayerNormalization', ['stream', 'ones'], 'normal'),
      node('MatMul', ['normal', 'layer'], 'hidden'),
      node('Tanh', ['hidden'], 'active'),
      node('Add', ['stream', 'active'], 'answer'),
      ...nodes,
    ],
  };
}

async function narrowed(graph: Graph) {
  const { traces } = await traceGraph(graph, 'the model', () => false);
  const result = narrowRows(graph, factsOf(traces));
  const x = filled(3, 5, 4);
  const answers = [];
  for (const each of [graph, result.graph]) {
    const session = await createOrtSession(writeOnnx(each));
    answers.push((await session.run({ x }))[graph.outputs[0]?.name ?? ''] as Tensor);
    await session.close();
  }
  const [before, after] = answers as [Tensor, Tensor];
  expect(after.dims).toEqual(before.dims);
  expect(relativeError(after.data, before.data).relative).toBeLessThan(1e-6);
  /** Rows that the node of this kind whose output began with a name computes. */
  const rowsOf = (name: string, axis: number) => {
    const output = result.graph.nodes.flatMap(({ outputs }) => outputs).find((each) => each.startsWith(name));
    return result.facts.get(output ?? '')?.dims[axis];
  };
  return rowsOf;
}

test('computes only the rows that are read, back to where all are needed', async () => {
  const rowsOf = await narrowed(block([slice('answer', 'one')], 'one'));
  for (const name of ['queries', 'merged', 'attended', 'stream', 'normal', 'hidden', 'active', 'answer'])
    expect([name, rowsOf(name, 1)]).toEqual([name, 1]);
  expect([rowsOf('scores', 2), rowsOf('mixed', 2)]).toEqual([1, 1]);
  // Keys and values are those of all tokens.
  expect([rowsOf('tokens', 1), rowsOf('keys', 1), rowsOf('values', 2)]).toEqual([5, 5, 5]);
});

test('computes all rows where others are read too, or where rows are mixed', async () => {
  const both = [
    slice('answer', 'one'),
    node('ReduceMean', ['answer'], 'mean'),
    node('Add', ['one', 'mean'], 'sum'),
  ];
  expect((await narrowed(block(both, 'sum')))('hidden', 1)).toBe(5);
  const mixing = [
    node('Softmax', ['answer'], 'mixing', { axis: { kind: 'int', value: 1 } }),
    slice('mixing', 'one'),
  ];
  expect((await narrowed(block(mixing, 'one')))('hidden', 1)).toBe(5);
});
