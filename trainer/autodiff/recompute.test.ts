import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { Graph, GraphNode, Tensor } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { relativeError } from '../graph/relative-error.ts';
import { traceGraph } from '../graph/trace.ts';
import { trainableWeights } from '../graph/trainable-weights.ts';
import { prepareModel } from '../pairs/prepare.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { sampleInputs } from '../runtime/sample-inputs.ts';
import { factsOf } from './facts.ts';
import { gradientGraph } from './gradient-graph.ts';
import { ancestors, makersOf } from './node-order.ts';

const DIGITS = new URL('../../examples/digits/digits.onnx', import.meta.url);

const largestOf = ({ data }: Tensor) =>
  (data as Float32Array).reduce((most, x) => Math.max(most, Math.abs(x)), 0);

/** Values of the forward pass that operators of this type make and the backward pass reads. */
function readAgain({ nodes }: Graph, opType: string): string[] {
  const makers = makersOf(nodes);
  const forward = ancestors('logits', makers);
  const read = nodes.filter((node) => !forward.has(node)).flatMap(({ inputs }) => inputs);
  return read.filter((name) => {
    const maker = makers.get(name);
    return maker?.opType === opType && forward.has(maker);
  });
}

test('gives the same gradients, and reads hardly any activation again', async () => {
  const { graph, pairs } = await prepareModel(readFileSync(DIGITS), 'digits');
  const { traces } = await traceGraph(graph, 'digits', () => false);
  const weights = trainableWeights(graph);
  const loss = { kind: 'kl', output: 'logits' } as const;
  const request = { graph, facts: factsOf(traces), pairs, weights, loss };
  const made = [gradientGraph(request), gradientGraph({ ...request, recompute: true })] as const;

  const [kept, again] = made.map((each) => {
    const makers = makersOf(each.graph.nodes);
    const forward = ancestors('logits', makers);
    const fixed = (name: string) => ![...ancestors(name, makers)].some(({ opType }) => opType === 'Conv');
    const read = each.graph.nodes.filter((node) => !forward.has(node)).flatMap(({ inputs }) => inputs);
    const activations = read.filter((name) => forward.has(makers.get(name) as never) && !fixed(name));
    return new Set(activations).size;
  });
  expect(again).toBeLessThan((kept as number) / 2);
  expect(readAgain(made[0].graph, 'Softmax')).not.toEqual([]);
  // The first block's neither, though nothing is added up before it.
  expect(readAgain(made[1].graph, 'Softmax')).toEqual([]);

  const feeds = sampleInputs(graph, { batch: 3, length: 1 }, 5);
  const teacher: Tensor = {
    dtype: 'float32',
    dims: [3, 10],
    data: Float32Array.from({ length: 30 }, (_, i) => Math.sin(i)),
  };
  const results = [];
  for (const each of made) {
    const session = await createOrtSession(writeOnnx(each.graph));
    const own = weights.map((name): [string, Tensor] => [name, graph.initializers.get(name) as Tensor]);
    const masks = each.masks.map((name, pair): [string, Tensor] => {
      const data = new Float32Array(pairs[pair]?.units ?? 0).fill(0.7);
      return [name, { dtype: 'float32', dims: [data.length], data }];
    });
    const fed = { ...feeds, ...Object.fromEntries([...own, ...masks]), [each.target]: teacher };
    const found = await session.run(fed);
    await session.close();
    results.push([...each.gradients, ...each.weightGradients].map((name) => found[name] as Tensor));
  }
  const [plain, twice] = results as [Tensor[], Tensor[]];
  const largest = Math.max(...plain.map(largestOf));
  for (const [i, tensor] of plain.entries()) {
    const own = largestOf(tensor);
    // A key's bias has no influence on a softmax: both sides hold rounding only.
    if (own > largest * 1e-6)
      expect(relativeError(twice[i]?.data ?? [], tensor.data).relative).toBeLessThan(1e-5);
  }
});

test('computes conditions again too: as large as what they are about', async () => {
  const node = (opType: string, inputs: string[], output: string): GraphNode => {
    return { name: output, opType, domain: '', inputs, outputs: [output], attributes: {} };
  };
  const matrix = (rows: number, columns: number): Tensor => {
    const data = Float32Array.from({ length: rows * columns }, (_, i) => Math.cos(i));
    return { dtype: 'float32', dims: [rows, columns], data };
  };
  const block = (k: number, from: string, to: string) => [
    node('Softmax', [from], `s${k}`),
    node('Less', [`s${k}`, 'little'], `small${k}`),
    node('Where', [`small${k}`, 'little', `s${k}`], `bounded${k}`),
    node('MatMul', [`bounded${k}`, 'w'], `f${k}`),
    node('Add', [from, `f${k}`], to),
  ];
  const graph: Graph = {
    name: 'bounded',
    irVersion: 8,
    opsets: { '': 17 },
    inputs: [{ name: 'x', dtype: 'float32', dims: ['n', 4] }],
    outputs: [{ name: 'logits', dtype: 'float32', dims: ['n', 4] }],
    initializers: new Map([
      ['little', { dtype: 'float32', dims: [], data: Float32Array.of(0.1) }],
      ['w', matrix(4, 4)],
      ['in', matrix(4, 4)],
    ]),
    nodes: [
      node('MatMul', ['x', 'in'], 'a'),
      ...block(1, 'a', 'b'),
      ...block(2, 'b', 'c'),
      node('MatMul', ['c', 'in'], 'logits'),
    ],
  };
  const { traces } = await traceGraph(graph, 'bounded', () => false);
  const loss = { kind: 'kl', output: 'logits' } as const;
  const request = { graph, facts: factsOf(traces), pairs: [], weights: ['in'], loss };
  expect(readAgain(gradientGraph(request).graph, 'Less')).not.toEqual([]);
  expect(readAgain(gradientGraph({ ...request, recompute: true }).graph, 'Less')).toEqual([]);
});
