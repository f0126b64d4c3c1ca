/**
 * Writes layout operators in one plain form: shape arguments are constants wherever the traces allow, free dimensions are
 * copied or inferred, Split and picking Gather become Slice, and what changes nothing goes. The rest of the shape arithmetic falls
 * away as dead code.
 */
import { type Graph, type GraphNode, intAttribute } from './graph.ts';
import {
  type Draft,
  draftOf,
  int64,
  integers,
  rename,
  type ShapeEntry,
  shapeVector,
  withoutDeadCode,
} from './rewrite.ts';
import type { Traces } from './traces.ts';

/** Slice takes its bounds as inputs from this opset on, Squeeze its axes from `SQUEEZE_INPUT`. */
const SLICE_INPUTS = 10;
const SQUEEZE_INPUT = 13;

interface Pass {
  readonly graph: Graph;
  readonly traces: Traces;
  readonly draft: Draft;
  /** Outputs that another value stands for. */
  readonly renamed: Map<string, string>;
}

type Rewrite = (pass: Pass, node: GraphNode) => boolean;

/** One an operator; false: the node stays as it is. */
const rewrites: Readonly<Record<string, Rewrite>> = {
  Reshape: rewriteReshape,
  Expand: rewriteExpand,
  Slice: rewriteSlice,
  Split: rewriteSplit,
  Gather: rewriteGather,
  GatherND: rewriteGatherND,
  Concat: rewriteConcat,
  Cast: rewriteCast,
  Identity: (pass, node) => stands(pass, node.outputs[0] ?? '', node.inputs[0] ?? ''),
};

export function normaliseShapes(graph: Graph, traces: Traces): Graph {
  if ((graph.opsets[''] ?? 0) < SLICE_INPUTS) return graph;
  const pass: Pass = { graph, traces, draft: draftOf(graph), renamed: new Map() };
  for (const node of graph.nodes) {
    const rewrite = node.domain === '' ? rewrites[node.opType] : undefined;
    if (!rewrite?.(pass, node)) pass.draft.nodes.push(node);
  }
  const { initializers } = pass.draft;
  const nodes = rename(pass.draft.nodes, pass.renamed);
  return withoutDeadCode({ ...graph, nodes, initializers });
}

/** An axis' length by trace; undefined where the value was not traced. */
function lengths({ traces }: Pass, value: string, axis: number): number[] | undefined {
  const found = traces.map(({ dims }) => dims.get(value)?.[axis]);
  return found.every((length) => length !== undefined) ? (found as number[]) : undefined;
}

function rankOf({ traces }: Pass, value: string): number | undefined {
  return traces[0].dims.get(value)?.length;
}

function same(a: readonly number[] | undefined, b: readonly number[] | undefined): boolean {
  return a !== undefined && b !== undefined && a.every((length, i) => length === b[i]);
}

/** The length where it is the same in all traces. */
function fixed(found: readonly number[] | undefined): number | undefined {
  return found?.every((length) => length === found[0]) ? found[0] : undefined;
}

/**
 * Dimensions that stay free are copied (0), read from the input's shape, inferred (-1), or taken from the file's own arithmetic.
 * What the file infers stays inferred. A Reshape that changes nothing goes.
 */
function rewriteReshape(pass: Pass, node: GraphNode): boolean {
  const [input = '', shape = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const rank = rankOf(pass, output);
  const inputRank = rankOf(pass, input);
  if (rank === undefined || inputRank === undefined) return false;
  const all = Array.from({ length: rank }, (_, axis) => lengths(pass, output, axis) ?? []);
  const isSame = rank === inputRank && all.every((found, axis) => same(found, lengths(pass, input, axis)));
  if (isSame && !all.flat().includes(0)) return stands(pass, output, input);
  // A 0 would be taken for "copy".
  if (all.some((found) => found.includes(0))) return false;
  const readable = (axis: number) =>
    Array.from({ length: inputRank }).findIndex((_, i) => same(all[axis], lengths(pass, input, i)));
  const free = all.flatMap((found, axis) => (fixed(found) === undefined ? [axis] : []));
  const copied = (axis: number) => free.length > 1 && same(all[axis], lengths(pass, input, axis));
  const others = free.filter((axis) => !copied(axis));
  const unknown = others.filter((axis) => readable(axis) < 0);
  const given = pass.traces.map(({ kept }) =>
    integers(kept.get(shape) ?? pass.graph.initializers.get(shape)),
  );
  const inferredByFile = free.find((axis) => given.some((entries) => entries?.[axis] === -1));
  // Of several lengths that only the file's arithmetic knows, it may itself infer one; which one must be seen.
  if (unknown.length > 1 && given.includes(undefined)) return false;
  const inferred = (unknown.length > 1 ? inferredByFile : undefined) ?? unknown[0] ?? others[0];
  const entries = all.map((found, axis): ShapeEntry => {
    const length = fixed(found);
    if (length !== undefined) return length;
    if (axis === inferred) return -1;
    if (copied(axis)) return 0;
    if (readable(axis) < 0) return [shape, axis];
    // A length that the input shows is read there, so that less of the file's own arithmetic stays alive.
    return [pass.draft.add('Shape', [input], `${node.name}_input_shape`), readable(axis)];
  });
  replace(
    pass,
    node,
    [input, shapeVector(pass.draft, `${node.name}_shape`, entries)],
    omit(node, 'allowzero'),
  );
  return true;
}

/** Operands of length 0, such as the part of a head that no rotation turns where it turns all, go. */
function rewriteConcat(pass: Pass, node: GraphNode): boolean {
  const [output = ''] = node.outputs;
  const rank = rankOf(pass, output);
  if (rank === undefined) return false;
  const given = intAttribute(node, 'axis', 0);
  const axis = given < 0 ? given + rank : given;
  const inputs = node.inputs.filter((input) => fixed(lengths(pass, input, axis)) !== 0);
  const [only] = inputs;
  if (only === undefined) return false;
  if (inputs.length === 1) return stands(pass, output, only);
  if (inputs.length < node.inputs.length) replace(pass, node, inputs, node.attributes);
  return inputs.length < node.inputs.length;
}

/** Axes that keep their length are 1; an Expand that changes nothing goes. */
function rewriteExpand(pass: Pass, node: GraphNode): boolean {
  const [input = '', shape = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const rank = rankOf(pass, output);
  const inputRank = rankOf(pass, input);
  const shapeRank = pass.traces[0].dims.get(shape)?.[0];
  if (rank === undefined || inputRank === undefined || shapeRank === undefined) return false;
  const entries = Array.from({ length: rank }, (_, axis) => {
    const found = lengths(pass, output, axis);
    const inputAxis = axis - rank + inputRank;
    if (inputAxis >= 0 && same(found, lengths(pass, input, inputAxis))) return 1;
    return fixed(found);
  });
  if (rank === inputRank && entries.every((entry) => entry === 1)) return stands(pass, output, input);
  const vector = shapeVector(
    pass.draft,
    `${node.name}_shape`,
    entries.map((entry, axis) => entry ?? [shape, axis - rank + shapeRank]),
  );
  replace(pass, node, [input, vector], node.attributes);
  return true;
}

/** Bounds become explicit and non-negative on fixed axes; a Slice that takes everything goes. */
function rewriteSlice(pass: Pass, node: GraphNode): boolean {
  const [input = '', starts = '', ends = '', axes = '', steps = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const read = (name: string) => integers(pass.draft.initializers.get(name));
  const from = read(starts);
  const to = read(ends);
  const rank = rankOf(pass, input);
  if (rank === undefined || from === undefined || to === undefined) return false;
  const along = axes === '' ? from.map((_, i) => i) : read(axes);
  const by = steps === '' ? from.map(() => 1) : read(steps);
  if (along === undefined || by === undefined || by.some((step) => step < 1)) return false;
  const bounds = along.map((given, i) => {
    const axis = given < 0 ? given + rank : given;
    const length = fixed(lengths(pass, input, axis));
    const clamp = (bound: number) =>
      length === undefined ? bound : Math.max(0, Math.min(length, bound < 0 ? bound + length : bound));
    const step = by[i] ?? 1;
    return { axis, start: clamp(from[i] ?? 0), end: clamp(to[i] ?? 0), step };
  });
  const cutting = bounds.filter(
    ({ axis, step }) => step > 1 || !same(lengths(pass, input, axis), lengths(pass, output, axis)),
  );
  if (cutting.length === 0) return stands(pass, output, input);
  slice(pass, node, input, output, cutting);
  return true;
}

function rewriteSplit(pass: Pass, node: GraphNode): boolean {
  const [input = ''] = node.inputs;
  const rank = rankOf(pass, input);
  if (rank === undefined) return false;
  const given = intAttribute(node, 'axis', 0);
  const axis = given < 0 ? given + rank : given;
  const sizes = node.outputs.map((output) => fixed(lengths(pass, output, axis)));
  if (fixed(lengths(pass, input, axis)) === undefined) return false;
  let start = 0;
  for (const [i, output] of node.outputs.entries()) {
    const end = start + (sizes[i] ?? 0);
    if (output !== '') slice(pass, node, input, output, [{ axis, start, end, step: 1 }]);
    start = end;
  }
  return true;
}

/** Picking one constant index is a Slice, and a Squeeze where the index is a scalar. */
function rewriteGather(pass: Pass, node: GraphNode): boolean {
  const [input = '', indices = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const index = pass.draft.initializers.get(indices);
  const rank = rankOf(pass, input);
  const [picked, ...more] = integers(index) ?? [];
  if (rank === undefined || index === undefined || picked === undefined || more.length > 0) return false;
  if (index.dims.length > 1 || pass.graph.initializers.has(input)) return false;
  const given = intAttribute(node, 'axis', 0);
  const axis = given < 0 ? given + rank : given;
  const length = fixed(lengths(pass, input, axis));
  const start = picked < 0 && length !== undefined ? picked + length : picked;
  const end = start === -1 ? Number.MAX_SAFE_INTEGER : start + 1;
  if (index.dims.length === 1) {
    slice(pass, node, input, output, [{ axis, start, end, step: 1 }]);
    return true;
  }
  const kept = pass.draft.fresh(`${output}_kept`);
  slice(pass, node, input, kept, [{ axis, start, end, step: 1 }]);
  const byInput = (pass.graph.opsets[''] ?? 0) >= SQUEEZE_INPUT;
  pass.draft.nodes.push({
    name: pass.draft.fresh(`${node.name}_squeeze`),
    opType: 'Squeeze',
    domain: '',
    inputs: byInput ? [kept, pass.draft.constant(`${node.name}_axis`, int64([axis]))] : [kept],
    outputs: [output],
    attributes: byInput ? {} : { axes: { kind: 'ints', value: [axis] } },
  });
  return true;
}

/** Picking one index of the first axis, as advanced indexing is exported, is a Slice. */
function rewriteGatherND(pass: Pass, node: GraphNode): boolean {
  const [input = '', indices = ''] = node.inputs;
  const index = pass.draft.initializers.get(indices);
  const [picked, ...more] = integers(index) ?? [];
  if (picked === undefined || more.length > 0 || index?.dims.length !== 2) return false;
  if (intAttribute(node, 'batch_dims', 0) !== 0) return false;
  const length = fixed(lengths(pass, input, 0));
  if (length === undefined) return false;
  const start = picked < 0 ? picked + length : picked;
  slice(pass, node, input, node.outputs[0] ?? '', [{ axis: 0, start, end: start + 1, step: 1 }]);
  return true;
}

/** To the type that the input has already: left behind where half precision was widened. */
function rewriteCast(pass: Pass, node: GraphNode): boolean {
  const [input = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const [{ dtypes }] = pass.traces;
  const dtype = dtypes.get(input);
  return dtype !== undefined && dtype === dtypes.get(output) && stands(pass, output, input);
}

interface Bound {
  readonly axis: number;
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

/** Adds a Slice with bounds of its own. */
function slice(
  { draft }: Pass,
  node: GraphNode,
  input: string,
  output: string,
  bounds: readonly Bound[],
): void {
  const name = draft.fresh(`${node.name}_slice`);
  const vector = (part: keyof Bound) =>
    draft.constant(`${name}_${part}s`, int64(bounds.map((bound) => bound[part])));
  const inputs = [input, vector('start'), vector('end'), vector('axis')];
  if (bounds.some(({ step }) => step !== 1)) inputs.push(vector('step'));
  draft.nodes.push({ name, opType: 'Slice', domain: '', inputs, outputs: [output], attributes: {} });
}

/** Lets `input` stand for `output`, unless the graph must show it under its own name. */
function stands(pass: Pass, output: string, input: string): boolean {
  if (pass.graph.outputs.some(({ name }) => name === output)) return false;
  pass.renamed.set(output, input);
  return true;
}

function replace(
  pass: Pass,
  node: GraphNode,
  inputs: readonly string[],
  attributes: GraphNode['attributes'],
): void {
  pass.draft.nodes.push({ ...node, inputs, attributes });
}

function omit(node: GraphNode, name: string): GraphNode['attributes'] {
  return Object.fromEntries(Object.entries(node.attributes).filter(([key]) => key !== name));
}
