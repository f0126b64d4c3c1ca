/**
 * Takes fused linears apart: one matrix whose outputs are only ever read in disjoint slices (query, key and value; gate and
 * up) becomes one matrix a slice, so that each can be cut by itself.
 *
 *   x -- W[d, 3n] -- layout -- Slice i   becomes   x -- W[:, columns of slice i] -- the same layout on fewer columns
 *
 * Element by element, something may happen to all columns on the way (clipped queries, keys and values; an activation).
 *
 * Which columns a slice reads, and that the new layout gives the same elements, is seen by carrying column indices through it.
 */
import { gather } from './gather.ts';
import { consumers, type Graph, type GraphNode, type Tensor } from './graph.ts';
import {
  applyLayout,
  boxOf,
  type IndexTensor,
  lastAxisIndices,
  sameIndices,
  takeBox,
} from './index-tensor.ts';
import { findLinears, type Linear } from './linear.ts';
import { ELEMENTWISE, LAYOUT } from './op-classes.ts';
import {
  type Draft,
  draftOf,
  integers,
  rename,
  type ShapeEntry,
  shapeVector,
  withoutDeadCode,
} from './rewrite.ts';
import type { Trace } from './traces.ts';

/** One slice: the operators from the linear's output up to it, and what it reads. */
interface Branch {
  /** In order; each reads the linear's output or what earlier ones make of it, and constants. */
  readonly path: readonly GraphNode[];
  readonly slice: GraphNode;
  readonly columns: readonly number[];
  /** Column indices of what the path makes, and of the slice's output, by value. */
  readonly indices: ReadonlyMap<string, IndexTensor>;
}

/** @returns the same graph object where nothing is fused; otherwise trace again before the next pass */
export function splitFusedLinears(graph: Graph, trace: Trace): Graph {
  const readers = consumers(graph);
  const plans = new Map<string, { linear: Linear; branches: Branch[] }>();
  for (const linear of findLinears(graph)) {
    const branches = findBranches(graph, readers, linear, trace);
    if (branches && areSeparate(readers, branches))
      plans.set((linear.add ?? linear.node).name, { linear, branches });
  }
  if (plans.size === 0) return graph;

  const draft = draftOf(graph);
  const renamed = new Map<string, string>();
  const parts = new Map<string, string>();
  const slices = new Map<GraphNode, { branch: Branch; linear: Linear; part: string }>();
  const inputs = new Map([...plans.values()].map(({ linear }) => [linear.output, linear.input]));
  for (const node of graph.nodes) {
    const [read = ''] = node.inputs;
    if (node.opType === 'Shape' && inputs.has(read)) {
      draft.nodes.push({ ...node, inputs: [inputs.get(read) ?? read] });
      continue;
    }
    const taken = slices.get(node);
    if (taken) {
      // The layout stands where the slice stood: only here all that its shapes read has been made.
      renamed.set(node.outputs[0] ?? '', replay(draft, taken.branch, taken.linear, taken.part));
      continue;
    }
    draft.nodes.push(node);
    const plan = plans.get(node.name);
    if (!plan) continue;
    const outputs = new Map<string, string>();
    for (const branch of plan.branches) {
      const key = branch.columns.join();
      const part = outputs.get(key) ?? addLinear(draft, parts, plan.linear, branch.columns);
      outputs.set(key, part);
      slices.set(branch.slice, { branch, linear: plan.linear, part });
    }
  }
  const { initializers } = draft;
  return withoutDeadCode({ ...graph, nodes: rename(draft.nodes, renamed), initializers });
}

/** @returns undefined where some reader wants all columns, or wants them in a way that cannot be followed */
function findBranches(
  graph: Graph,
  readers: ReadonlyMap<string, readonly GraphNode[]>,
  linear: Linear,
  trace: Trace,
): Branch[] | undefined {
  const dims = trace.dims.get(linear.output);
  if (dims === undefined) return undefined;
  const shown = new Set(graph.outputs.map(({ name }) => name));
  const width = dims.at(-1) ?? 0;
  const branches: Branch[] = [];
  const indices = new Map([[linear.output, lastAxisIndices(dims)]]);
  const path: GraphNode[] = [];
  const reached = new Set<GraphNode>();
  for (const value of indices.keys()) {
    if (shown.has(value)) return undefined;
    for (const node of readers.get(value) ?? []) {
      // The linear's input has the same lengths before the last axis.
      if (value === linear.output && asksForRows(graph, readers, node, dims.length)) continue;
      const output = node.outputs[0] ?? '';
      const to = trace.dims.get(output);
      const current = indices.get(value);
      if (to === undefined || current === undefined || node.domain !== '') return undefined;
      if (ELEMENTWISE.has(node.opType)) {
        reached.add(node);
        const operands = node.inputs.filter((input) => input !== '' && !graph.initializers.has(input));
        // Another operand may be known only later.
        if (indices.has(output) || !operands.every((operand) => indices.has(operand))) continue;
        const same = operands.every((operand) => sameIndices(indices.get(operand) ?? current, current));
        if (!same || to.join() !== current.dims.join()) return undefined;
        indices.set(output, current);
        path.push(node);
      } else if (node.inputs[0] !== value) return undefined;
      else if (LAYOUT.has(node.opType)) {
        indices.set(output, applyLayout(node, current, to));
        path.push(node);
      } else if (node.opType === 'Slice') {
        const taken = applySlice(graph, node, current, to);
        const columns = [...new Set(taken?.data)].sort((a, b) => a - b);
        if (taken === undefined || shown.has(output) || columns.length === width) return undefined;
        branches.push({ path: [], slice: node, columns, indices: new Map([[output, taken]]) });
      } else return undefined;
    }
  }
  const isKnown = ({ outputs: [output = ''] }: GraphNode) => indices.has(output);
  if (![...reached].every(isKnown)) return undefined;
  const complete = branches.map((branch) => withPath(branch, path, indices));
  return complete.every((branch) => canReplay(branch, linear.output)) ? complete : undefined;
}

/** The branch with those of the nodes that its slice depends on. */
function withPath(
  branch: Branch,
  nodes: readonly GraphNode[],
  indices: ReadonlyMap<string, IndexTensor>,
): Branch {
  const needed = new Set(branch.slice.inputs.slice(0, 1));
  const path = nodes.toReversed().filter((node) => {
    const isNeeded = node.outputs.some((output) => needed.has(output));
    if (isNeeded) for (const input of node.inputs) needed.add(input);
    return isNeeded;
  });
  const known = [...indices].filter(([value]) => needed.has(value));
  return { ...branch, path: path.reverse(), indices: new Map([...known, ...branch.indices]) };
}

/** A Shape of which only entries before the last axis are picked. */
function asksForRows(
  graph: Graph,
  readers: ReadonlyMap<string, readonly GraphNode[]>,
  { opType, outputs, attributes }: GraphNode,
  rank: number,
): boolean {
  const [shape = ''] = outputs;
  const picks = readers.get(shape) ?? [];
  if (opType !== 'Shape' || Object.keys(attributes).length > 0) return false;
  return picks.every((pick) => {
    const [first, second] = [1, 2].map((input) => integers(graph.initializers.get(pick.inputs[input] ?? '')));
    if (pick.opType === 'Gather') return first?.every((index) => index >= 0 && index < rank - 1) ?? false;
    return pick.opType === 'Slice' && (second?.every((end) => end >= 0 && end < rank) ?? false);
  });
}

/** Of a Slice with constant bounds, cutting one axis only; otherwise undefined. */
function applySlice(
  graph: Graph,
  node: GraphNode,
  tensor: IndexTensor,
  to: readonly number[],
): IndexTensor | undefined {
  const read = (input: number) => integers(graph.initializers.get(node.inputs[input] ?? ''));
  const [start] = read(1) ?? [];
  const [end] = read(2) ?? [];
  const axes = read(3) ?? [];
  const [step] = node.inputs[4] ? (read(4) ?? []) : [1];
  const [axis = -1] = axes;
  const length = tensor.dims[axis];
  if (start === undefined || end === undefined || step === undefined || length === undefined)
    return undefined;
  if (axes.length !== 1 || start < 0 || end < start) return undefined;
  const box = tensor.dims.map((dim) => Array.from({ length: dim }, (_, i) => i));
  const stop = Math.min(end, length);
  box[axis] = (box[axis] ?? []).filter((i) => i >= start && i < stop && (i - start) % step === 0);
  const taken = takeBox(tensor, box);
  return taken.dims.every((dim, i) => dim === to[i]) ? taken : undefined;
}

/** The slice must be all that there is of its columns, and its columns a box at every step. */
function canReplay({ columns, indices, slice }: Branch, from: string): boolean {
  const wanted = new Set(columns);
  const output = indices.get(slice.outputs[0] ?? '');
  const before = restrict(indices.get(slice.inputs[0] ?? from), wanted);
  const steps = [...indices].filter(([value]) => !slice.outputs.includes(value));
  const areBoxes = steps.every(([, tensor]) => restrict(tensor, wanted) !== undefined);
  return areBoxes && !!before && !!output && sameIndices(before, output);
}

function restrict(tensor: IndexTensor | undefined, wanted: ReadonlySet<number>): IndexTensor | undefined {
  const box = tensor && boxOf(tensor, (index) => wanted.has(index));
  return box && takeBox(tensor, box);
}

/** At least two, equal or disjoint, and not joined again: the two halves of a rotary embedding belong together. */
function areSeparate(
  readers: ReadonlyMap<string, readonly GraphNode[]>,
  branches: readonly Branch[],
): boolean {
  const groups = new Map<string, Branch[]>();
  const owner = new Map<number, string>();
  for (const branch of branches) {
    const key = branch.columns.join();
    groups.set(key, [...(groups.get(key) ?? []), branch]);
    for (const column of branch.columns) {
      if ((owner.get(column) ?? key) !== key) return false;
      owner.set(column, key);
    }
  }
  if (groups.size < 2) return false;
  const joined = new Map<GraphNode, string>();
  for (const [key, members] of groups) {
    for (const concat of reachedConcats(readers, members)) {
      if ((joined.get(concat) ?? key) !== key) return false;
      joined.set(concat, key);
    }
  }
  return true;
}

function reachedConcats(
  readers: ReadonlyMap<string, readonly GraphNode[]>,
  branches: readonly Branch[],
): Set<GraphNode> {
  const concats = new Set<GraphNode>();
  const queue = new Set(branches.flatMap(({ slice }) => slice.outputs));
  for (const value of queue) {
    for (const node of readers.get(value) ?? []) {
      if (node.opType === 'Concat') concats.add(node);
      else if (LAYOUT.has(node.opType) || ELEMENTWISE.has(node.opType) || node.opType === 'Slice')
        for (const output of node.outputs) queue.add(output);
    }
  }
  return concats;
}

/** The linear with these columns only; returns its output. */
function addLinear(
  draft: Draft,
  parts: Map<string, string>,
  linear: Linear,
  columns: readonly number[],
): string {
  const { node, weight, bias, outAxis } = linear;
  // Linears that shared a matrix go on sharing its parts.
  const part = (tensor: string, axis: number) => {
    const key = `${columns.join()} of ${tensor}`;
    const source = draft.initializers.get(tensor) as Tensor;
    const name = parts.get(key) ?? draft.constant(`${tensor}_part`, gather(source, axis, columns));
    parts.set(key, name);
    return name;
  };
  const biasPart = bias && part(bias, (draft.initializers.get(bias)?.dims.length ?? 1) - 1);
  const matrix = part(weight, outAxis);
  if (node.opType === 'Gemm')
    return draft.add(
      'Gemm',
      [linear.input, matrix, ...(biasPart ? [biasPart] : [])],
      `${node.name}_part`,
      node.attributes,
    );
  const product = draft.add('MatMul', [linear.input, matrix], `${node.name}_part`);
  return biasPart ? draft.add('Add', [product, biasPart], `${linear.add?.name}_part`) : product;
}

/** The branch's operators on fewer columns; returns the value that equals the slice. */
function replay(
  draft: Draft,
  { path, columns, indices, slice }: Branch,
  linear: Linear,
  from: string,
): string {
  const wanted = new Set(columns);
  const made = new Map([[linear.output, from]]);
  for (const node of path) {
    const full = indices.get(node.outputs[0] ?? '') as IndexTensor;
    const [input = '', ...others] = node.inputs;
    if (node.opType === 'Reshape') {
      const dims = restrict(full, wanted)?.dims ?? full.dims;
      const shape = others[0] ?? '';
      const entries = integers(draft.initializers.get(shape));
      const part = dims.map(
        (dim, axis): ShapeEntry => (dim === full.dims[axis] ? (entries?.[axis] ?? [shape, axis]) : dim),
      );
      others[0] = shapeVector(draft, `${node.name}_part_shape`, part);
    }
    const inputs = ELEMENTWISE.has(node.opType)
      ? node.inputs.map((operand) => made.get(operand) ?? constantPart(draft, operand, full, wanted))
      : [made.get(input) ?? input, ...others];
    made.set(node.outputs[0] ?? '', draft.add(node.opType, inputs, `${node.name}_part`, node.attributes));
  }
  return made.get(slice.inputs[0] ?? '') ?? from;
}

/** What stands in a constant, which may be broadcast, at the wanted places of the tensor that it is combined with. */
function constantPart(draft: Draft, name: string, full: IndexTensor, wanted: ReadonlySet<number>): string {
  const constant = draft.initializers.get(name);
  const box = boxOf(full, (index) => wanted.has(index));
  if (constant === undefined || box === undefined) return name;
  const offset = full.dims.length - constant.dims.length;
  const part = constant.dims.reduce((tensor, length, axis) => {
    const places = box[axis + offset] ?? [];
    return length === 1 || places.length === length ? tensor : gather(tensor, axis, places);
  }, constant);
  return part === constant ? name : draft.constant(`${name}_part`, part);
}
