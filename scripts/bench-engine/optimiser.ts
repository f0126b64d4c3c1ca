/** Adam in two places: on the host, as recovery runs it, and as an ONNX graph that onnxruntime runs on all cores. */
import type { Graph, GraphNode, Tensor } from '../../trainer/graph/graph.ts';
import { writeOnnx } from '../../trainer/graph/onnx-file.ts';
import { relativeError } from '../../trainer/graph/relative-error.ts';
import { type AdamState, adamStart, adamStep, stepSizes } from '../../trainer/recovery/adam.ts';
import { createOrtSession } from '../../trainer/runtime/ort-session.ts';
import type { Side } from './sides.ts';

type Arrays = ReadonlyMap<string, Float32Array>;

const [BETA1, BETA2, EPSILON, RATE] = [0.9, 0.99, 1e-12, 0.01];

/** A second step, so that moments are something. @returns both sides, and how far apart they end */
export async function optimiserSides(
  weights: Arrays,
  threads: number,
): Promise<{ host: Side; graph: Side; difference: number }> {
  const sizes = stepSizes(weights);
  const gradients = new Map([...weights].map(([name, w]) => [name, w.map((_, i) => Math.sin(i))]));
  const copies = (arrays: Arrays) => new Map([...arrays].map(([name, values]) => [name, values.slice()]));
  const own = copies(weights);
  let state: AdamState = adamStart(own);
  const onHost = async () => {
    state = adamStep(own, gradients, sizes, state, RATE);
  };
  const session = await createOrtSession(writeOnnx(adamGraph(weights, sizes)), { threads });
  const theirs = copies(weights);
  const [first, second] = [adamStart(theirs).first, adamStart(theirs).second];
  let step = 0;
  const inGraph = async () => {
    step += 1;
    const scalar = (value: number): Tensor => tensor([], Float32Array.of(value));
    const feeds: Record<string, Tensor> = {
      unbias1: scalar(1 - BETA1 ** step),
      unbias2: scalar(1 - BETA2 ** step),
    };
    const into: Record<string, Tensor> = {};
    for (const [name, values] of theirs) {
      const [m, v] = [first.get(name), second.get(name)] as [Float32Array, Float32Array];
      feeds[`${name}/w`] = vector(values);
      feeds[`${name}/g`] = vector(gradients.get(name) as Float32Array);
      feeds[`${name}/m`] = vector(m);
      feeds[`${name}/v`] = vector(v);
      into[`${name}/w2`] = vector(values);
      into[`${name}/m2`] = vector(m);
      into[`${name}/v2`] = vector(v);
    }
    await session.run(feeds, undefined, into);
  };
  for (let i = 0; i < 2; i++) await Promise.all([onHost(), inGraph()]);
  const apart = [...own].map(([name, w]) => relativeError(theirs.get(name) ?? [], w).relative);
  return {
    host: { name: 'Adam on the host', run: onHost, close: async () => {} },
    graph: { name: 'Adam in a graph', run: inGraph, close: () => session.close() },
    difference: Math.max(...apart),
  };
}

function tensor(dims: readonly number[], data: Float32Array): Tensor {
  return { dtype: 'float32', dims, data };
}

const vector = (data: Float32Array): Tensor => tensor([data.length], data);

function adamGraph(weights: Arrays, sizes: ReadonlyMap<string, number>): Graph {
  const nodes: GraphNode[] = [];
  const initializers = new Map<string, Tensor>();
  const constant = (value: number) => {
    const name = `constant ${value}`;
    initializers.set(name, tensor([], Float32Array.of(value)));
    return name;
  };
  const add = (opType: string, inputs: string[], name = `value ${nodes.length}`) => {
    nodes.push({ name: `node ${nodes.length}`, opType, domain: '', inputs, outputs: [name], attributes: {} });
    return name;
  };
  const mixed = (old: string, next: string, beta: number, name: string) =>
    add('Add', [add('Mul', [old, constant(beta)]), add('Mul', [next, constant(1 - beta)])], name);
  for (const name of weights.keys()) {
    const at = (part: string) => `${name}/${part}`;
    const m = mixed(at('m'), at('g'), BETA1, at('m2'));
    const v = mixed(at('v'), add('Mul', [at('g'), at('g')]), BETA2, at('v2'));
    const root = add('Sqrt', [add('Div', [v, 'unbias2'])]);
    const size = constant(RATE * (sizes.get(name) ?? 0));
    const step = add('Div', [
      add('Mul', [add('Div', [m, 'unbias1']), size]),
      add('Add', [root, constant(EPSILON)]),
    ]);
    add('Sub', [at('w'), step], at('w2'));
  }
  const info = (name: string, length?: number) => {
    return { name, dtype: 'float32' as const, dims: length === undefined ? [] : [length] };
  };
  const all = (...parts: string[]) =>
    [...weights].flatMap(([name, { length }]) => parts.map((part) => info(`${name}/${part}`, length)));
  return {
    name: 'adam',
    irVersion: 8,
    opsets: { '': 17 },
    inputs: [info('unbias1'), info('unbias2'), ...all('w', 'g', 'm', 'v')],
    outputs: all('w2', 'm2', 'v2'),
    initializers,
    nodes,
  };
}
