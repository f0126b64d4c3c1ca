/**
 * Activation recomputation (Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016): of the forward pass only the residual
 * stream is kept, and what lies between two of its values is computed again when the backward pass comes to it. The stream is read
 * for that through a Reshape to the shape of a gradient: nothing is copied, nothing runs before that gradient is there, and
 * onnxruntime sees other nodes than those of the forward pass, which it would otherwise merge with them.
 */
import type { Graph, GraphNode } from '../graph/graph.ts';
import { draftOf, int64 } from '../graph/rewrite.ts';
import { type Facts, factsFor } from './facts.ts';
import { ancestors, inOrder, type Makers, makersOf } from './node-order.ts';
import { settleFirst } from './settle-first.ts';

/** The forward pass, before there was a backward one. */
export interface ForwardPass {
  readonly graph: Graph;
  readonly facts: Facts;
  /** Values that are the same for all examples: they are kept. */
  readonly parameters: ReadonlySet<string>;
}

/** The values of the residual stream in the graph's order: sums x + f(x) of one shape, and what the first of them adds to. */
export function residualStream({ graph, facts, parameters }: ForwardPass): string[] {
  const makers = makersOf(graph.nodes);
  const sums = graph.nodes.flatMap(({ opType, domain, inputs, outputs }) => {
    if (opType !== 'Add' || domain !== '' || inputs.some((name) => parameters.has(name))) return [];
    const [output = ''] = outputs;
    const shapes = [...inputs, output].map((name) => JSON.stringify(factsFor(facts, name).dims));
    if (new Set(shapes).size > 1 || factsFor(facts, output).dims.length < 2) return [];
    const [a = '', b = ''] = inputs.map((name) => beforeSlice(name, makers));
    const carried = leadsTo(a, b, makers) ? a : leadsTo(b, a, makers) ? b : undefined;
    return carried === undefined ? [] : [{ output, carried }];
  });
  const [first] = sums;
  const start = first !== undefined && makers.has(first.carried) ? [first.carried] : [];
  return [...start, ...sums.map(({ output }) => output)];
}

/**
 * @param whole forward and backward pass
 * @param end the last forward value
 * @param stream of `residualStream`
 * @param streamGradients of the stream's values, as far as there are any
 * @param results values that are asked for
 * @returns the same function, which needs less memory and computes most of the forward pass twice
 */
export function recomputed(
  whole: Graph,
  { facts, parameters }: ForwardPass,
  end: string,
  stream: readonly string[],
  streamGradients: ReadonlyMap<string, string>,
  results: readonly string[],
): Graph {
  const { graph: settled, gradients } = settleFirst(whole, stream, streamGradients, results);
  const makers = makersOf(settled.nodes);
  const forward = ancestors(end, makers);
  const place = new Map(stream.map((name, i) => [name, i]));
  const segments = segmentsOf(settled.nodes, forward, place);
  const draft = draftOf(settled);
  /** Integers are shapes and positions: small, and read by what has to run early. */
  const isActivation = (name: string) => ['float32', 'bool'].includes(facts.get(name)?.dtype ?? 'float32');
  const again = new Map<string, string>();
  const gates = new Map<string, string>();

  /** A value of the stream, to be read when the gradient at the end of a segment is there. */
  const gated = (name: string, segment: number, gradient: string): string => {
    const key = `${segment} ${name}`;
    const known = gates.get(key);
    if (known !== undefined) return known;
    const ends = factsFor(facts, stream[segment + 1] as string).dims;
    const { dims } = factsFor(facts, name);
    const fits = dims.length === ends.length && dims.includes(undefined);
    if (!fits || dims.some((length, axis) => length === undefined && ends[axis] !== undefined)) return name;
    // Written as a sum: onnxruntime would see through lengths that are joined, and drop the gradient.
    const vector = (entry: (length: number | undefined) => number) =>
      draft.constant('gate_lengths', int64(dims.map(entry)));
    const lengths = draft.add('Shape', [gradient], 'gate_shape');
    const free = draft.add('Mul', [lengths, vector((length) => (length === undefined ? 1 : 0))], 'gate_free');
    const shape = draft.add('Add', [free, vector((length) => length ?? 0)], 'gate_shape');
    const gate = draft.add('Reshape', [name, shape], `${name}_gated`);
    gates.set(key, gate);
    return gate;
  };

  /** The name by which the backward pass reads a value. */
  const recompute = (name: string): string => {
    const known = again.get(name);
    if (known !== undefined) return known;
    const segment = segments.get(name) ?? -1;
    const gradient = gradients.get(stream[segment + 1] ?? '');
    const maker = makers.get(name);
    const kept = segment < 0 || place.has(name) || parameters.has(name) || !isActivation(name);
    if (kept || gradient === undefined || maker === undefined) return name;
    const outputs = maker.outputs.map((output) => (output === '' ? '' : draft.fresh(`${output}_again`)));
    for (const [i, output] of maker.outputs.entries()) again.set(output, outputs[i] as string);
    const inputs = maker.inputs.map((input) => {
      if (place.has(input)) return gated(input, segment, gradient);
      return segments.get(input) === segment ? recompute(input) : input;
    });
    draft.nodes.push({ ...maker, name: draft.fresh(`${maker.name}_again`), inputs, outputs });
    return again.get(name) as string;
  };

  const nodes = settled.nodes.map((node): GraphNode => {
    if (forward.has(node)) return node;
    const inputs = node.inputs.map((input) =>
      forward.has(makers.get(input) as GraphNode) ? recompute(input) : input,
    );
    return { ...node, inputs };
  });
  return { ...settled, nodes: inOrder([...nodes, ...draft.nodes]), initializers: draft.initializers };
}

/** By value of the forward pass, the last value of the stream that it depends on; -1 where on none. */
function segmentsOf(
  nodes: readonly GraphNode[],
  forward: ReadonlySet<GraphNode>,
  place: ReadonlyMap<string, number>,
): Map<string, number> {
  const segments = new Map<string, number>();
  for (const node of nodes) {
    if (!forward.has(node)) continue;
    const latest = Math.max(-1, ...node.inputs.map((input) => segments.get(input) ?? -1));
    for (const output of node.outputs) segments.set(output, place.get(output) ?? latest);
  }
  return segments;
}

function leadsTo(from: string, to: string, makers: Makers): boolean {
  const before = ancestors(to, makers);
  return [...before].some(({ inputs }) => inputs.includes(from));
}

/** Of some rows, the value that they were taken from. */
function beforeSlice(name: string, makers: Makers): string {
  const maker = makers.get(name);
  return maker?.opType === 'Slice' || maker?.opType === 'Identity' ? (maker.inputs[0] ?? name) : name;
}
