/**
 * Writes into a part of an axis as the concatenation that they are: `x[..., :k] = a; x[..., k:] = b` is exported as ScatterND at indices
 * that shapes alone decide, and no dimension could be followed through it (DeepSeek's latent attention makes queries and keys so).
 */
import type { Graph, GraphNode } from './graph.ts';
import { intsAttribute, stringAttribute } from './graph.ts';
import { type Draft, draftOf, int64, integers, rename, withoutDeadCode } from './rewrite.ts';
import type { Trace, Traces } from './traces.ts';

/** Slice takes its bounds as inputs from this opset on. */
const SLICE_INPUTS = 10;

/** What is written: all of a value, but along one axis from here to there only. */
interface Window {
  readonly axis: number;
  readonly from: number;
  readonly to: number;
  /** Of the axis. */
  readonly length: number;
}

interface Part {
  readonly value: string;
  readonly length: number;
}

/** @param traces that kept the contents of what shapes decide */
export function joinWindowWrites(graph: Graph, traces: Traces): Graph {
  if ((graph.opsets[''] ?? 0) < SLICE_INPUTS || !graph.nodes.some(isWrite)) return graph;
  const draft = draftOf(graph);
  const straight = new Map<string, string>();
  const turned = new Map<string, { readonly from: string; readonly perm: readonly number[] }>();
  const joined = new Map<string, { readonly axis: number; readonly parts: readonly Part[] }>();
  const seen = (value: string) => straight.get(value) ?? value;
  for (const node of graph.nodes) {
    const [input = '', , updates = ''] = node.inputs;
    const [output = ''] = node.outputs;
    noteTurn(node, seen(input), turned, straight);
    const window = isWrite(node) ? sameWindow(graph, node, traces) : undefined;
    if (!window) {
      draft.nodes.push(node);
      continue;
    }
    const { axis, from, to, length } = window;
    const known = joined.get(seen(input));
    const parts = known?.axis === axis ? known.parts : [{ value: seen(input), length }];
    const all = [
      ...between(draft, node, axis, parts, 0, from),
      { value: updates, length: to - from },
      ...between(draft, node, axis, parts, to, length),
    ];
    joined.set(output, { axis, parts: all });
    draft.nodes.push({
      ...node,
      opType: 'Concat',
      inputs: all.map(({ value }) => value),
      attributes: { axis: { kind: 'int', value: axis } },
    });
  }
  const nodes = rename(draft.nodes, straight);
  return withoutDeadCode({ ...graph, nodes, initializers: draft.initializers });
}

function isWrite(node: GraphNode): boolean {
  return (
    node.opType === 'ScatterND' && node.domain === '' && stringAttribute(node, 'reduction', 'none') === 'none'
  );
}

/** Two transposes that undo each other leave what they began with. */
function noteTurn(
  node: GraphNode,
  input: string,
  turned: Map<string, { readonly from: string; readonly perm: readonly number[] }>,
  straight: Map<string, string>,
): void {
  const [output = ''] = node.outputs;
  const perm = node.opType === 'Transpose' && node.domain === '' ? intsAttribute(node, 'perm') : undefined;
  if (!perm) return;
  const before = turned.get(input);
  if (before && perm.every((axis, i) => before.perm[axis] === i)) straight.set(output, before.from);
  else turned.set(output, { from: input, perm });
}

/** The parts of an axis from one place to another; one that a bound falls into is sliced. */
function between(
  draft: Draft,
  { name }: GraphNode,
  axis: number,
  parts: readonly Part[],
  from: number,
  to: number,
): Part[] {
  let start = 0;
  return parts.flatMap(({ value, length }) => {
    const [first, last] = [Math.max(from - start, 0), Math.min(to - start, length)];
    start += length;
    if (first >= last) return [];
    if (first === 0 && last === length) return [{ value, length }];
    const bounds = [first, last, axis].map((bound) => draft.constant(`${name}_bound`, int64([bound])));
    return [{ value: draft.add('Slice', [value, ...bounds], `${name}_rest`), length: last - first }];
  });
}

function sameWindow(graph: Graph, node: GraphNode, traces: Traces): Window | undefined {
  const [first, ...others] = traces.map((trace) => windowIn(graph, node, trace));
  const same = (other: Window | undefined) =>
    other?.axis === first?.axis &&
    other?.from === first?.from &&
    other?.to === first?.to &&
    other?.length === first?.length;
  return first && others.every(same) ? first : undefined;
}

function windowIn(graph: Graph, { inputs }: GraphNode, { dims, kept }: Trace): Window | undefined {
  const [data = '', places = '', updates = ''] = inputs;
  const shape = dims.get(data);
  const tensor = graph.initializers.get(places) ?? kept.get(places);
  const indices = integers(tensor);
  const depth = tensor?.dims.at(-1);
  const grid = tensor?.dims.slice(0, -1);
  if (!shape || !indices || !grid || depth !== grid.length || depth === 0) return undefined;
  const written = [...grid, ...shape.slice(depth)];
  if (JSON.stringify(dims.get(updates)) !== JSON.stringify(written)) return undefined;
  const place = (i: number, axis: number) => {
    const given = indices[i * depth + axis] ?? 0;
    return given < 0 ? given + (shape[axis] ?? 0) : given;
  };
  const starts = grid.map((_, axis) => place(0, axis));
  const at = grid.map(() => 0);
  for (let i = 0; i * depth < indices.length; i++) {
    if (at.some((step, axis) => place(i, axis) !== (starts[axis] ?? 0) + step)) return undefined;
    for (let axis = depth - 1; axis >= 0; axis--) {
      at[axis] = (at[axis] ?? 0) + 1;
      if ((at[axis] ?? 0) < (grid[axis] ?? 1)) break;
      at[axis] = 0;
    }
  }
  const cut = grid.flatMap((length, axis) => (length === shape[axis] ? [] : [axis]));
  const [axis = depth - 1] = cut;
  if (cut.length > 1 || starts.some((start, other) => other !== axis && start !== 0)) return undefined;
  const from = starts[axis] ?? 0;
  return { axis, from, to: from + (grid[axis] ?? 0), length: shape[axis] ?? 0 };
}
