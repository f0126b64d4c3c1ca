/**
 * LayerNormalization before linear maps, rewritten so that its gradient is cheap. With x̂ the normalised input,
 * (x̂ g + c) W + b = x̂ (P diag(g) W) + (c W + b), where P takes the mean off each column: x̂ has mean zero, so that changes nothing.
 * The normalisation is left without scale and bias, the gradient that comes back to x̂ has mean zero too, and the gradients of g and c
 * come from the matrices instead of from every row. The folding is part of the graph, as g, c and W may change between runs;
 * onnxruntime does it once where they do not.
 */
import { isDeferred } from '../graph/deferred.ts';
import { consumers, floatAttribute, type Graph, type GraphNode, intAttribute } from '../graph/graph.ts';
import { type Draft, draftOf, int64, withoutDeadCode } from '../graph/rewrite.ts';
import { int } from './expressions.ts';
import { type AxisLength, type Facts, factsFor, type ValueFacts } from './facts.ts';

export interface Lowered {
  readonly graph: Graph;
  /** Of every value, the new ones too. */
  readonly facts: Facts;
}

/** A product of rows with a matrix that no row changes. */
interface LinearMap {
  readonly node: GraphNode;
  readonly weight: string;
  /** Of the matrix, the axis that the rows are multiplied along. */
  readonly inAxis: 0 | 1;
  /** The Add behind a MatMul that brings the bias. */
  readonly add?: GraphNode;
  readonly bias?: string;
}

/**
 * @param weights inputs that are the same for all examples
 * @returns the same function; normalisations that something else than linear maps reads stay as they are
 */
export function foldNormalisations(graph: Graph, known: Facts, weights: Iterable<string> = []): Lowered {
  const draft = draftOf(graph);
  const facts = new Map(known);
  const readers = consumers(graph);
  const shown = new Set(graph.outputs.map(({ name }) => name));
  const parameters = parametersOf(graph, weights);
  const deferred = new Set(
    [...graph.initializers].flatMap(([name, tensor]) => (isDeferred(tensor) ? [name] : [])),
  );
  const replaced = new Map<string, readonly GraphNode[]>();
  for (const node of graph.nodes) {
    if (!normalisesLastAxis(node, facts, parameters)) continue;
    const [x = '', scale = '', bias = ''] = node.inputs;
    const [y = ''] = node.outputs;
    const width = factsFor(facts, scale).dims[0];
    const behind = readers.get(y) ?? [];
    const maps = behind.flatMap(
      (reader) => linearMap(reader, y, { facts, parameters, readers, shown, deferred }) ?? [],
    );
    if (shown.has(y) || width === undefined || maps.length === 0 || maps.length < behind.length) continue;
    const data = new Float32Array(width).fill(1);
    const ones = draft.constant(`${y}_ones`, { dtype: 'float32', dims: [width], data });
    facts.set(ones, { dims: [width], dtype: 'float32' });
    replaced.set(node.name, [{ ...node, inputs: [x, ones] }]);
    facts.set(y, { ...factsFor(facts, y), centredGradient: true });
    for (const map of maps)
      for (const [name, nodes] of fold(map, draft, facts, scale, bias)) replaced.set(name, nodes);
  }
  const nodes = graph.nodes.flatMap((node) => replaced.get(node.name) ?? [node]);
  return { graph: withoutDeadCode({ ...graph, nodes, initializers: draft.initializers }), facts };
}

/** Values that are the same for all examples: initializers, weights, and what is computed from these alone. */
export function parametersOf(graph: Graph, weights: Iterable<string>): Set<string> {
  const found = new Set([...graph.initializers.keys(), ...weights, '']);
  for (const { inputs, outputs } of graph.nodes)
    if (inputs.length > 0 && inputs.every((name) => found.has(name)))
      for (const output of outputs) found.add(output);
  return found;
}

function normalisesLastAxis(node: GraphNode, facts: Facts, parameters: ReadonlySet<string>): boolean {
  if (node.opType !== 'LayerNormalization' || node.domain !== '') return false;
  const [x = '', ...given] = node.inputs;
  const last = factsFor(facts, x).dims.length - 1;
  return (
    [-1, last].includes(intAttribute(node, 'axis', -1)) &&
    given.every((name) => name === '' || (parameters.has(name) && factsFor(facts, name).dims.length === 1)) &&
    node.outputs.slice(1).every((name) => name === '')
  );
}

interface Surroundings {
  readonly facts: Facts;
  readonly parameters: ReadonlySet<string>;
  readonly readers: ReadonlyMap<string, readonly GraphNode[]>;
  readonly shown: ReadonlySet<string>;
  /** Matrices that lie in files: folded copies would have to be held. */
  readonly deferred: ReadonlySet<string>;
}

function linearMap(
  node: GraphNode,
  input: string,
  { facts, parameters, readers, shown, deferred }: Surroundings,
): LinearMap | undefined {
  const [left, weight = '', bias = ''] = node.inputs;
  const isMatrix = parameters.has(weight) && weight !== '' && factsFor(facts, weight).dims.length === 2;
  if (node.domain !== '' || left !== input || !isMatrix || deferred.has(weight)) return undefined;
  if (node.opType === 'Gemm') {
    const plain =
      intAttribute(node, 'transA', 0) === 0 &&
      floatAttribute(node, 'alpha', 1) === 1 &&
      floatAttribute(node, 'beta', 1) === 1;
    if (!plain || !parameters.has(bias)) return undefined;
    const inAxis = intAttribute(node, 'transB', 0) === 0 ? 0 : 1;
    return { node, weight, inAxis, ...(bias === '' ? {} : { bias }) };
  }
  if (node.opType !== 'MatMul') return undefined;
  const [product = ''] = node.outputs;
  const [add, ...more] = readers.get(product) ?? [];
  const other = add?.inputs.find((name) => name !== product) ?? '';
  const isBias = add?.opType === 'Add' && more.length === 0 && !shown.has(product) && other !== '';
  if (!add || !isBias || !parameters.has(other) || factsFor(facts, other).dims.length !== 1)
    return { node, weight, inAxis: 0 };
  return { node, weight, inAxis: 0, add, bias: other };
}

/** One linear map on x̂ in place of x̂ g + c: the nodes that stand for its own. */
function fold(
  { node, weight, inAxis, add, bias }: LinearMap,
  draft: Draft,
  facts: Map<string, ValueFacts>,
  scale: string,
  shift: string,
): [string, GraphNode[]][] {
  const nodes: GraphNode[] = [];
  const write = (opType: string, inputs: string[], dims: readonly AxisLength[], attributes = {}) => {
    const name = draft.fresh(`${weight}_folded`);
    nodes.push({ name, opType, domain: '', inputs, outputs: [name], attributes });
    facts.set(name, { dims, dtype: 'float32' });
    return name;
  };
  const shaped = (value: string, shape: readonly number[], dims: readonly AxisLength[]) =>
    write('Reshape', [value, draft.constant(`${weight}_shape`, int64(shape))], dims);
  const { dims } = factsFor(facts, weight);
  const [width, outputs] = [dims[inAxis], dims[1 - inAxis]];
  const along = inAxis === 0 ? shaped(scale, [-1, 1], [width, 1]) : scale;
  const scaled = write('Mul', [weight, along], dims);
  const matrix = write('Sub', [scaled, meanAlong(scaled)], dims);
  const inputs = node.inputs.with(1, matrix);
  if (shift === '') return [[node.name, [...nodes, { ...node, inputs }]]];
  const row = shaped(shift, [1, -1], [1, width]);
  const shifted = write('Gemm', [row, weight], [1, outputs], { transB: int(inAxis) });
  const own = shaped(shifted, [-1], [outputs]);
  const moved = bias === undefined ? own : write('Add', [own, bias], [outputs]);
  if (node.opType === 'Gemm')
    return [[node.name, [...nodes, { ...node, inputs: [...inputs.slice(0, 2), moved] }]]];
  if (add) {
    const terms = add.inputs.map((input) => (input === bias ? moved : input));
    return [
      [node.name, [...nodes, { ...node, inputs }]],
      [add.name, [{ ...add, inputs: terms }]],
    ];
  }
  const [output = ''] = node.outputs;
  const product = draft.fresh(`${output}_product`);
  facts.set(product, factsFor(facts, output));
  const sum: GraphNode = {
    name: draft.fresh(`${node.name}_bias`),
    opType: 'Add',
    domain: '',
    inputs: [product, moved],
    outputs: [output],
    attributes: {},
  };
  return [[node.name, [...nodes, { ...node, inputs, outputs: [product] }, sum]]];

  function meanAlong(value: string): string {
    const axes = draft.constant(`${weight}_axes`, int64([inAxis]));
    const total = write('ReduceSum', [value, axes], dims.with(inAxis, 1), { keepdims: int(1) });
    const share = { dtype: 'float32', dims: [], data: Float32Array.of(1 / (width ?? 1)) } as const;
    const by = draft.constant(`${weight}_share`, share);
    facts.set(by, { dims: [], dtype: 'float32' });
    return write('Mul', [total, by], dims.with(inAxis, 1));
  }
}
