/**
 * Where a slice takes some rows of a value and nothing reads the others, the others are not computed: the slice moves towards the
 * inputs through everything that treats rows apart. A classifier that reads one token then costs its last block one token, forward
 * and backward; the results are the same.
 */
import { type Graph, type GraphNode, intAttribute, intsAttribute } from '../graph/graph.ts';
import { type Draft, draftOf, int64, integers, withoutDeadCode } from '../graph/rewrite.ts';
import { type AxisLength, type Facts, factsFor, type ValueFacts } from './facts.ts';

/** `length` rows along an axis, from `start` on. */
interface Rows {
  readonly axis: number;
  readonly start: number;
  readonly length: number;
}

export interface Narrowed {
  readonly graph: Graph;
  /** Of every value, the new ones too. */
  readonly facts: Facts;
}

/** @returns the same function of the same inputs */
export function narrowRows(graph: Graph, known: Facts): Narrowed {
  const draft = draftOf(graph);
  const facts = new Map(known);
  const context: Context = { graph, draft, facts, wanted: new Map() };
  for (const { name } of graph.outputs) want(context, name, undefined);
  const reversed: GraphNode[] = [];
  for (const node of graph.nodes.toReversed()) reversed.push(...rewritten(node, context).toReversed());
  const nodes = [...ofSources(context), ...reversed.reverse()];
  return { graph: withoutDeadCode({ ...graph, nodes, initializers: draft.initializers }), facts };
}

/** Some rows of a value that somebody reads, and the name that they have. */
interface Wanted {
  readonly rows: Rows;
  readonly name: string;
}

interface Context {
  readonly graph: Graph;
  readonly draft: Draft;
  readonly facts: Map<string, ValueFacts>;
  /** By value: what of it is read; `whole` when all of it is. Complete for a value when its node is reached from behind. */
  readonly wanted: Map<string, { whole: boolean; readonly parts: Wanted[] }>;
}

/** Notes that some rows are read, all where absent. @returns the name to read them by */
function want({ draft, facts, wanted }: Context, value: string, rows: Rows | undefined): string {
  const known = wanted.get(value) ?? { whole: false, parts: [] };
  wanted.set(value, known);
  if (rows === undefined) {
    known.whole = true;
    return value;
  }
  const same = known.parts.find((part) => isSame(part.rows, rows));
  if (same) return same.name;
  const name = draft.fresh(`${value}_rows`);
  const { dims, ...more } = factsFor(facts, value);
  facts.set(name, { ...more, dims: dims.with(rows.axis, rows.length) });
  known.parts.push({ rows, name });
  return name;
}

function isSame(a: Rows, b: Rows): boolean {
  return a.axis === b.axis && a.start === b.start && a.length === b.length;
}

/** What stands for a node, now that all that is read of its outputs is known. */
function rewritten(node: GraphNode, context: Context): GraphNode[] {
  const { facts, wanted } = context;
  const [output = '', ...others] = node.outputs;
  const known = wanted.get(output);
  const [part, ...more] = known?.parts ?? [];
  const isRead = others.some((name) => wanted.has(name));
  if (part && more.length === 0 && !known?.whole && !isRead) {
    const moved = node.domain === '' ? through(node, part.rows, context) : undefined;
    if (moved) {
      const inputs = moved.inputs.map(([value, rows]) => (value === '' ? '' : want(context, value, rows)));
      return [{ ...node, inputs: moved.replaced ?? inputs, outputs: [part.name, ...others] }];
    }
  }
  const slices = known?.parts.map((each) => sliceNode(output, each, context)) ?? [];
  const rows = rowsOf(node, context);
  if (rows !== undefined) {
    // Its reader may get the rows from the node before, or from a slice just behind it.
    const name = want(context, node.inputs[0] as string, rows);
    facts.set(name, factsFor(facts, output));
    return [{ ...node, opType: 'Identity', inputs: [name], attributes: {} }, ...slices];
  }
  for (const input of node.inputs) if (input !== '') want(context, input, undefined);
  return [node, ...slices];
}

/** Slices of inputs and initializers, which no node makes. */
function ofSources(context: Context): GraphNode[] {
  const made = new Set(context.graph.nodes.flatMap(({ outputs }) => outputs));
  return [...context.wanted].flatMap(([value, { parts }]) =>
    made.has(value) ? [] : parts.map((part) => sliceNode(value, part, context)),
  );
}

function sliceNode(value: string, { rows, name }: Wanted, { draft, facts }: Context): GraphNode {
  const integer = (entry: number) => {
    const constant = draft.constant(`${name}_at`, int64([entry]));
    facts.set(constant, { dims: [1], dtype: 'int64' });
    return constant;
  };
  const { start, length, axis } = rows;
  return {
    name: draft.fresh(`${name}_slice`),
    opType: 'Slice',
    domain: '',
    inputs: [value, integer(start), integer(start + length), integer(axis)],
    outputs: [name],
    attributes: {},
  };
}

/** What a slice along one axis takes; undefined for other nodes, and where it is computed. */
function rowsOf(node: GraphNode, { graph, facts }: Context): Rows | undefined {
  if (node.opType !== 'Slice' || node.domain !== '') return undefined;
  const [x = '', ...given] = node.inputs;
  const [starts, ends, axes, steps] = given.map((name) => integers(graph.initializers.get(name)));
  const { dims } = factsFor(facts, x);
  const [start, axis] = [starts?.[0], axes?.[0]];
  if (starts?.length !== 1 || ends?.length !== 1 || axes?.length !== 1) return undefined;
  if (start === undefined || axis === undefined || (given[3] !== undefined && steps?.[0] !== 1))
    return undefined;
  const along = axis < 0 ? axis + dims.length : axis;
  const whole = dims[along];
  const length = factsFor(facts, node.outputs[0] ?? '').dims[along];
  if (whole === undefined || length === undefined || length < 1 || length === whole) return undefined;
  return { axis: along, start: start < 0 ? Math.max(0, start + whole) : start, length };
}

/** What of each input is needed for some rows of the output; `replaced`: inputs that stand in for all of them. */
interface Moved {
  readonly inputs: readonly (readonly [value: string, rows: Rows | undefined])[];
  readonly replaced?: readonly string[];
}

type Mover = (node: GraphNode, rows: Rows, context: Context) => Moved | undefined;

function through(node: GraphNode, rows: Rows, context: Context): Moved | undefined {
  return movers[node.opType]?.(node, rows, context);
}

const dimsOf = ({ facts }: Context, value: string): readonly AxisLength[] => factsFor(facts, value).dims;

/** Every input has these rows, or the same values for all of them. */
const byElement: Mover = (node, rows, context) => {
  const rank = dimsOf(context, node.outputs[0] ?? '').length;
  const inputs: [string, Rows | undefined][] = [];
  for (const value of node.inputs) {
    if (value === '') return undefined;
    const dims = dimsOf(context, value);
    const axis = rows.axis - (rank - dims.length);
    const length = dims[axis];
    if (axis >= 0 && length === undefined) return undefined;
    inputs.push([value, axis < 0 || length === 1 ? undefined : { ...rows, axis }]);
  }
  return { inputs };
};

/** Computed along later axes only; the other inputs have no rows. */
const alongLater =
  (fallback: number): Mover =>
  (node, rows, context) => {
    const [x = '', ...others] = node.inputs;
    const axis = intAttribute(node, 'axis', fallback);
    const first = axis < 0 ? axis + dimsOf(context, x).length : axis;
    return rows.axis < first
      ? { inputs: [[x, rows], ...others.map((name) => [name, undefined] as const)] }
      : undefined;
  };

/** Rows of a product are products of the left factor's rows. */
const matMul: Mover = (node, rows, context) => {
  const [left = '', right = ''] = node.inputs;
  const rank = dimsOf(context, node.outputs[0] ?? '').length;
  const own = dimsOf(context, left).length;
  if (own < 2 || dimsOf(context, right).length < 2 || rows.axis !== rank - 2) return undefined;
  return {
    inputs: [
      [left, { ...rows, axis: own - 2 }],
      [right, undefined],
    ],
  };
};

const transpose: Mover = (node, rows, context) => {
  const [x = ''] = node.inputs;
  const rank = dimsOf(context, x).length;
  const axis = intsAttribute(node, 'perm')?.[rows.axis] ?? rank - 1 - rows.axis;
  return { inputs: [[x, { ...rows, axis }]] };
};

/** The axis stays whole, and with it what lies before and behind. */
const reshape: Mover = (node, rows, context) => {
  const [x = '', shape = ''] = node.inputs;
  const entries = integers(context.graph.initializers.get(shape));
  const [from, to] = [dimsOf(context, x), dimsOf(context, node.outputs[0] ?? '')];
  const length = to[rows.axis];
  if (entries === undefined || entries.includes(0) || length === undefined) return undefined;
  const behind = product(to.slice(rows.axis + 1));
  const axis = from.findLastIndex(
    (each, i) => each === length && length > 1 && product(from.slice(i + 1)) === behind,
  );
  if (behind === undefined || axis < 0 || (entries[rows.axis] ?? -1) < 0) return undefined;
  const own = { ...rows, axis };
  const cut = context.draft.constant(`${shape}_rows`, int64(entries.with(rows.axis, rows.length)));
  context.facts.set(cut, { dims: [entries.length], dtype: 'int64' });
  return { inputs: [], replaced: [want(context, x, own), cut] };
};

function product(lengths: readonly AxisLength[]): number | undefined {
  return lengths.reduce<number | undefined>(
    (total, length) => (total === undefined || length === undefined ? undefined : total * length),
    1,
  );
}

/** Axes of length 1 go or come. */
const axesOf = (node: GraphNode, { graph }: Context, rank: number): number[] | undefined =>
  integers(graph.initializers.get(node.inputs[1] ?? ''))?.map((axis) => (axis < 0 ? axis + rank : axis));

const squeeze: Mover = (node, rows, context) => {
  const [x = '', given = ''] = node.inputs;
  const axes = axesOf(node, context, dimsOf(context, x).length);
  if (axes === undefined) return undefined;
  const left = dimsOf(context, x).flatMap((_, axis) => (axes.includes(axis) ? [] : [axis]));
  return {
    inputs: [
      [x, { ...rows, axis: left[rows.axis] as number }],
      [given, undefined],
    ],
  };
};

const unsqueeze: Mover = (node, rows, context) => {
  const [x = '', given = ''] = node.inputs;
  const axes = axesOf(node, context, dimsOf(context, node.outputs[0] ?? '').length);
  if (axes === undefined || axes.includes(rows.axis)) return undefined;
  const axis = rows.axis - axes.filter((each) => each < rows.axis).length;
  return {
    inputs: [
      [x, { ...rows, axis }],
      [given, undefined],
    ],
  };
};

const ELEMENTWISE = [
  ...['Add', 'Sub', 'Mul', 'Div', 'Pow', 'Where', 'Identity', 'Neg', 'Exp', 'Sqrt', 'Reciprocal', 'Erf'],
  ...['Tanh', 'Sigmoid', 'Relu', 'Gelu', 'Softplus', 'LeakyRelu', 'Elu', 'HardSigmoid', 'HardSwish', 'Mish'],
];

const movers: Readonly<Record<string, Mover>> = {
  ...Object.fromEntries(ELEMENTWISE.map((opType) => [opType, byElement])),
  LayerNormalization: alongLater(-1),
  RMSNormalization: alongLater(-1),
  SimplifiedLayerNormalization: alongLater(-1),
  Softmax: alongLater(-1),
  LogSoftmax: alongLater(-1),
  MatMul: matMul,
  Transpose: transpose,
  Reshape: reshape,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
};
