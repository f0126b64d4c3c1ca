/** `optional-backends.case.ts BACKEND` prints by how much its gradients differ from onnxruntime's on the cpu, on a small network. */
import type { Graph, GraphNode, Tensor } from '../graph/graph.ts';
import { relativeError } from '../graph/relative-error.ts';
import type { BackendName } from './backend-names.ts';
import { createEngine } from './create-engine.ts';

const tensor = (...dims: number[]): Tensor => {
  const length = dims.reduce((a, b) => a * b, 1);
  const data = Float32Array.from({ length }, (_, i) => Math.sin(i * 1.3 + length) / Math.sqrt(dims[0] ?? 1));
  return { dtype: 'float32', dims, data };
};
const node = (opType: string, inputs: string[], output: string): GraphNode => {
  return { name: output, opType, domain: '', inputs, outputs: [output], attributes: {} };
};

const int = (value: number) => ({ kind: 'int', value }) as const;
const ints = (...value: number[]) => ({ kind: 'ints', value }) as const;

/** A convolution, a normalisation, attention of the tokens on each other, and two layers with an error function between them. */
const graph: Graph = {
  name: 'small',
  irVersion: 8,
  opsets: { '': 17 },
  inputs: [{ name: 'x', dtype: 'float32', dims: ['n', 5, 8] }],
  outputs: [{ name: 'logits', dtype: 'float32', dims: ['n', 5, 6] }],
  initializers: new Map([
    ['wf', tensor(3, 1, 3, 3)],
    ['wd', tensor(4, 8)],
    ['g', tensor(8)],
    ['c', tensor(8)],
    ['wq', tensor(8, 4)],
    ['wk', tensor(8, 4)],
    ['w1', tensor(8, 12)],
    ['b1', tensor(12)],
    ['w2', tensor(12, 6)],
    ['one', { dtype: 'int64', dims: [1], data: BigInt64Array.of(1n) }],
  ]),
  nodes: [
    node('Unsqueeze', ['x', 'one'], 'image'),
    { ...node('Conv', ['image', 'wf'], 'seen'), attributes: { strides: ints(1, 2), pads: ints(1, 1, 1, 1) } },
    node('MatMul', ['seen', 'wd'], 'spread'),
    { ...node('ReduceMean', ['spread'], 'rows'), attributes: { axes: ints(1), keepdims: int(0) } },
    node('LayerNormalization', ['rows', 'g', 'c'], 'h'),
    node('MatMul', ['h', 'wq'], 'q'),
    node('MatMul', ['h', 'wk'], 'k'),
    { ...node('Transpose', ['k'], 'kt'), attributes: { perm: ints(0, 2, 1) } },
    node('MatMul', ['q', 'kt'], 'scores'),
    node('Softmax', ['scores'], 'attention'),
    node('MatMul', ['attention', 'h'], 'mixed'),
    node('MatMul', ['mixed', 'w1'], 'm'),
    node('Add', ['m', 'b1'], 'hidden'),
    node('Erf', ['hidden'], 'active'),
    node('MatMul', ['active', 'w2'], 'logits'),
  ],
};
const site = (name: string, units: number) => ({
  name,
  units,
  maskSites: [{ tensor: name, axis: 2, outer: 1, inner: 1 }],
});
const pairs = [site('q', 4), site('active', 12)];
const weights = [...graph.initializers.keys()].filter((name) => name !== 'one');
const step = {
  feeds: { x: tensor(3, 5, 8) },
  masks: pairs.map(({ units }) => Float32Array.from({ length: units }, (_, j) => Math.cos(j) ** 2)),
  loss: { kind: 'kl', output: 'logits', teacher: tensor(3, 5, 6) },
} as const;

async function gradientsOn(backend: BackendName) {
  const engine = await createEngine({ graph, pairs, weights, backend, workers: 1 });
  const { loss, masks, weights: found } = await engine.step(step);
  const result = { started: engine.backend, loss, masks, weights: [...found.values()].map((g) => g.slice()) };
  await engine.close();
  return result;
}

const expected = await gradientsOn('onnxruntime');
const found = await gradientsOn(process.argv[2] as BackendName);
const worst = (ours: readonly Float32Array[], theirs: readonly Float32Array[]) =>
  Math.max(...ours.map((gradient, i) => relativeError(gradient, theirs[i] as Float32Array).relative));
process.stdout.write(
  `${JSON.stringify({
    started: found.started,
    loss: Math.abs(found.loss / expected.loss - 1),
    masks: worst(found.masks, expected.masks),
    weights: worst(found.weights, expected.weights),
  })}\n`,
);
// An open GPU device keeps the process alive.
process.exit(0);
