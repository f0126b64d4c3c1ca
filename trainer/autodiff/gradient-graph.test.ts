import { describe, expect, test } from 'vitest';
import type { Graph, GraphNode, Tensor } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { traceGraph } from '../graph/trace.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { factsOf } from './facts.ts';
import { type GradientRequest, gradientGraph } from './gradient-graph.ts';

const node = (opType: string, inputs: string[], output: string): GraphNode => ({
  name: `node ${output}`,
  opType,
  domain: '',
  inputs,
  outputs: [output],
  attributes: {},
});

const matrix = (rows: number, columns: number): Tensor => ({
  dtype: 'float32',
  dims: [rows, columns],
  data: Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i + rows)),
});

/** x [n, 3] - stem - hidden [n, 5] - activation - logits [n, 4] */
function network(activation: string, more: Partial<Graph> = {}): Graph {
  return {
    name: 'two layers',
    irVersion: 8,
    opsets: { '': 17 },
    inputs: [{ name: 'x', dtype: 'float32', dims: ['n', 3] }],
    outputs: [{ name: 'logits', dtype: 'float32', dims: ['n', 4] }],
    initializers: new Map([
      ['stem', matrix(3, 3)],
      ['first', matrix(3, 5)],
      ['second', matrix(5, 4)],
    ]),
    nodes: [
      node('MatMul', ['x', 'stem'], 'embedded'),
      node('MatMul', ['embedded', 'first'], 'hidden'),
      node(activation, ['hidden'], 'active'),
      node('MatMul', ['active', 'second'], 'logits'),
    ],
    ...more,
  };
}

const site = (tensor: string) => ({ tensor, axis: 1, outer: 1, inner: 1 });

async function request(graph: Graph, tensor: string, units: number): Promise<GradientRequest> {
  const { traces } = await traceGraph(graph, 'the model', () => false);
  const pairs = [{ units, maskSites: [site(tensor)] }];
  return { graph, facts: factsOf(traces), pairs, loss: { kind: 'kl', output: 'logits' } };
}

const types = ({ nodes }: Graph) => nodes.map(({ opType }) => opType);

test('writes no gradient that leads to no mask', async () => {
  const masked = await request(network('Tanh'), 'active', 5);
  const { graph } = gradientGraph(masked);
  // Forward 3, back through the last one; the tanh and what lies before it need no gradient.
  expect(types(graph).filter((type) => type === 'MatMul')).toHaveLength(4);
  const deeper = gradientGraph(await request(network('Tanh'), 'hidden', 5));
  expect(types(deeper.graph).filter((type) => type === 'MatMul')).toHaveLength(4);
  expect(deeper.graph.nodes.length).toBeGreaterThan(graph.nodes.length);
});

test('asks no softmax whether it is a number where one node can see to it', async () => {
  const zero: Tensor = { dtype: 'float32', dims: [], data: Float32Array.of(0) };
  const plain = network('Softmax');
  const graph: Graph = {
    ...plain,
    initializers: new Map([...plain.initializers, ['zero', zero]]),
    nodes: [
      ...plain.nodes.slice(0, -2),
      node('Softmax', ['hidden'], 'shares'),
      node('IsNaN', ['shares'], 'nothing'),
      node('Where', ['nothing', 'zero', 'shares'], 'active'),
      node('MatMul', ['active', 'second'], 'logits'),
    ],
  };
  const written = types(gradientGraph(await request(graph, 'hidden', 5)).graph);
  expect(written).toContain('ThresholdedRelu');
  expect(written).not.toContain('IsNaN');
});

test('lists all operators without a rule at once, by name and node, but only those on the way', async () => {
  const graph = network('EyeLike', {
    nodes: [
      node('MatMul', ['x', 'stem'], 'straight'),
      node('EyeLike', ['straight'], 'embedded'),
      node('MatMul', ['embedded', 'first'], 'hidden'),
      node('EyeLike', ['hidden'], 'bent'),
      node('EyeLike', ['bent'], 'active'),
      node('MatMul', ['active', 'second'], 'logits'),
    ],
  });
  const asked = await request(graph, 'hidden', 5);
  expect(() => gradientGraph(asked)).toThrow(
    expect.objectContaining({
      code: 'unsupported-op',
      message: expect.stringMatching(/EyeLike \(node node bent\), EyeLike \(node node active\)/),
      hint: expect.stringContaining('--backend'),
      details: { missing: ['EyeLike (node node bent)', 'EyeLike (node node active)'] },
    }),
  );
});

test('refuses masks that do not fit, losses on nothing and old opsets', async () => {
  const asked = await request(network('Tanh'), 'active', 5);
  const wrong = (change: Partial<GradientRequest>) => () => gradientGraph({ ...asked, ...change });
  const pairs = (tensor: string, units: number) => [{ units, maskSites: [site(tensor)] }];
  expect(wrong({ pairs: pairs('active', 4) })).toThrow('The mask on active covers 1 x 4 x 1 elements');
  expect(wrong({ pairs: pairs('nothing', 5) })).toThrow('no value nothing');
  expect(wrong({ loss: { kind: 'kl', output: 'nothing' } })).toThrow('no output nothing');
  expect(wrong({ graph: { ...asked.graph, opsets: { '': 12 } } })).toThrow('opset 13');
});

describe('what the graph computes', () => {
  const teacher = matrix(2, 4);
  const x = matrix(2, 3);

  async function run(pairs: GradientRequest['pairs'], masks: readonly Float32Array[]) {
    const asked = await request(network('Tanh'), 'active', 5);
    const made = gradientGraph({ ...asked, pairs });
    const session = await createOrtSession(writeOnnx(made.graph));
    const fed = masks.map((data, i) => [made.masks[i], { dtype: 'float32', dims: [data.length], data }]);
    const results = await session.run({ x, ...Object.fromEntries(fed), [made.target]: teacher });
    await session.close();
    return {
      loss: results[made.loss]?.data[0] as number,
      shape: Array.from(results[made.shape]?.data ?? [], Number),
      gradients: made.gradients.map((name) => Array.from(results[name]?.data ?? [], Number)),
    };
  }

  const active = { units: 5, maskSites: [site('active')] };
  const mask = Float32Array.of(1, 0.5, 0, -0.3, 0.8);

  test('a sum over rows of the divergence, computed here by hand', async () => {
    const { loss, shape } = await run([active], [mask]);
    const hidden = product(product(x, matrix(3, 3)), matrix(3, 5)).map((row) =>
      row.map((v, j) => Math.tanh(v) * (mask[j] as number)),
    );
    const logits = product(hidden, matrix(5, 4));
    const expected = logits.reduce((sum, row, i) => {
      const [p, q] = [logSoftmax(rowsOf(teacher)[i] ?? []), logSoftmax(row)];
      return sum + p.reduce((part, lp, j) => part + Math.exp(lp) * (lp - (q[j] as number)), 0);
    }, 0);
    expect(loss).toBeCloseTo(expected, 5);
    expect(shape).toEqual([2, 4]);
  });

  test('a pair with two sites gets the sum, and two pairs on one value their own', async () => {
    const ones = new Float32Array(5).fill(1);
    const { gradients: both } = await run([active, { units: 5, maskSites: [site('hidden')] }], [ones, ones]);
    const { gradients: joined } = await run(
      [{ units: 5, maskSites: [site('active'), site('hidden')] }],
      [ones],
    );
    both[0]?.forEach((gradient, j) => {
      expect(joined[0]?.[j]).toBeCloseTo(gradient + (both[1]?.[j] as number), 5);
    });
  });

  test('a mask that the loss does not depend on has a gradient of zero', async () => {
    const { gradients } = await run([active, { units: 5, maskSites: [] }], [mask, mask]);
    expect(gradients[1]).toEqual([0, 0, 0, 0, 0]);
  });
});

function rowsOf(m: Tensor | number[][]): number[][] {
  if (Array.isArray(m)) return m;
  const [rows = 0, columns = 0] = m.dims;
  return Array.from({ length: rows }, (_, i) =>
    Array.from(m.data.slice(i * columns, (i + 1) * columns), Number),
  );
}

function product(a: Tensor | number[][], b: Tensor): number[][] {
  const right = rowsOf(b);
  return rowsOf(a).map((row) =>
    (right[0] ?? []).map((_, j) => row.reduce((sum, v, k) => sum + v * (right[k]?.[j] as number), 0)),
  );
}

function logSoftmax(row: number[]): number[] {
  const total = Math.log(row.reduce((sum, v) => sum + Math.exp(v), 0));
  return row.map((v) => v - total);
}
