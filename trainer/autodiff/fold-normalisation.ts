/**
 * LayerNormalization before linear maps, rewritten so that its gradient is cheap. With x̂ the normalised input,
 * (x̂ g + c) W + b = x̂ (P diag(g) W) + (c W + b), where P takes the mean off each column: x̂ has mean zero, so that changes nothing.
 * The normalisation is left without scale and bias, and the gradient that comes back to x̂ has mean zero too.
 */
import { consumers, type Graph, type GraphNode, intAttribute, type Tensor } from '../graph/graph.ts';
import { findLinears, type Linear } from '../graph/linear.ts';
import { type Draft, draftOf, withoutDeadCode } from '../graph/rewrite.ts';
import { type Facts, factsFor, type ValueFacts } from './facts.ts';

export interface Lowered {
  readonly graph: Graph;
  /** Of every value, the new ones too. */
  readonly facts: Facts;
}

/** @returns the same function; normalisations that something else than linear maps reads stay as they are */
export function foldNormalisations(graph: Graph, known: Facts): Lowered {
  const draft = draftOf(graph);
  const facts = new Map(known);
  const readers = consumers(graph);
  const linears = new Map(findLinears(graph).map((linear) => [linear.node.name, linear]));
  const shown = new Set(graph.outputs.map(({ name }) => name));
  const replaced = new Map<string, readonly GraphNode[]>();
  for (const node of graph.nodes) {
    if (!normalisesLastAxis(node, graph, facts)) continue;
    const [x = '', scale = '', bias = ''] = node.inputs;
    const [y = ''] = node.outputs;
    const behind = (readers.get(y) ?? []).map((reader) => linears.get(reader.name));
    const maps = behind.filter((linear) => linear?.input === y) as Linear[];
    if (shown.has(y) || maps.length === 0 || maps.length < behind.length) continue;
    const g = graph.initializers.get(scale)?.data as Float32Array;
    const c = graph.initializers.get(bias)?.data as Float32Array | undefined;
    const ones = addVector(draft, facts, `${y}_ones`, new Float32Array(g.length).fill(1));
    replaced.set(node.name, [{ ...node, inputs: [x, ones] }]);
    facts.set(y, { ...factsFor(facts, y), centredGradient: true });
    for (const linear of maps)
      for (const [name, nodes] of fold(linear, graph, draft, facts, g, c)) replaced.set(name, nodes);
  }
  const nodes = graph.nodes.flatMap((node) => replaced.get(node.name) ?? [node]);
  return { graph: withoutDeadCode({ ...graph, nodes, initializers: draft.initializers }), facts };
}

function normalisesLastAxis(node: GraphNode, graph: Graph, facts: Facts): boolean {
  if (node.opType !== 'LayerNormalization' || node.domain !== '') return false;
  const [x = '', ...parameters] = node.inputs;
  const last = factsFor(facts, x).dims.length - 1;
  return (
    [-1, last].includes(intAttribute(node, 'axis', -1)) &&
    parameters.every((name) => name === '' || graph.initializers.get(name)?.dims.length === 1) &&
    node.outputs.slice(1).every((name) => name === '')
  );
}

/** One linear map on x̂ in place of x̂ g + c: the nodes that stand for its own. */
function fold(
  linear: Linear,
  graph: Graph,
  draft: Draft,
  facts: Map<string, ValueFacts>,
  g: Float32Array,
  c: Float32Array | undefined,
): [string, GraphNode[]][] {
  const { node, add, inAxis } = linear;
  const weight = graph.initializers.get(linear.weight) as Tensor;
  const { centred, shift } = throughWeight(weight, inAxis, g, c);
  const matrix = draft.constant(`${linear.weight}_folded`, centred);
  facts.set(matrix, { dims: centred.dims, dtype: 'float32' });
  const inputs = node.inputs.with(1, matrix);
  if (shift === undefined) return [[node.name, [{ ...node, inputs }]]];
  const old = graph.initializers.get(linear.bias ?? '')?.data;
  const bias = addVector(
    draft,
    facts,
    `${linear.output}_bias`,
    shift.map((value, i) => value + Number(old?.[i] ?? 0)),
  );
  if (node.opType === 'Gemm') return [[node.name, [{ ...node, inputs: [...inputs.slice(0, 2), bias] }]]];
  const moved = { ...node, inputs };
  if (add) {
    const terms = add.inputs.map((input) => (input === linear.bias ? bias : input));
    return [
      [node.name, [moved]],
      [add.name, [{ ...add, inputs: terms }]],
    ];
  }
  const product = draft.fresh(`${linear.output}_product`);
  facts.set(product, factsFor(facts, linear.output));
  const name = draft.fresh(`${node.name}_bias`);
  const sum = {
    name,
    opType: 'Add',
    domain: '',
    inputs: [product, bias],
    outputs: [linear.output],
    attributes: {},
  };
  return [[node.name, [{ ...moved, outputs: [product] }, sum]]];
}

/** P diag(g) W and c W, in float64 until they are done. */
function throughWeight(
  { dims, data }: Tensor,
  inAxis: 0 | 1,
  g: Float32Array,
  c: Float32Array | undefined,
): { centred: Tensor; shift: Float32Array | undefined } {
  const [inputs, outputs] = [dims[inAxis] as number, dims[1 - inAxis] as number];
  const at = (i: number, o: number) => (inAxis === 0 ? i * outputs + o : o * inputs + i);
  const centred = new Float32Array(data.length);
  const shift = c && new Float32Array(outputs);
  for (let o = 0; o < outputs; o++) {
    let [mean, through] = [0, 0];
    for (let i = 0; i < inputs; i++) {
      const entry = Number(data[at(i, o)]);
      mean += (entry * (g[i] as number)) / inputs;
      through += entry * (c?.[i] ?? 0);
    }
    for (let i = 0; i < inputs; i++) centred[at(i, o)] = Number(data[at(i, o)]) * (g[i] as number) - mean;
    if (shift) shift[o] = through;
  }
  return { centred: { dtype: 'float32', dims, data: centred }, shift };
}

function addVector(draft: Draft, facts: Map<string, ValueFacts>, base: string, data: Float32Array): string {
  const name = draft.constant(base, { dtype: 'float32', dims: [data.length], data });
  facts.set(name, { dims: [data.length], dtype: 'float32' });
  return name;
}
