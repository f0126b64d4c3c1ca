/** Finds the constants that must follow a pair's width: entries of shapes and slice bounds along axes that carry its units. */
import type { GraphNode } from '../graph/graph.ts';
import type { Candidate } from './candidates.ts';
import type { Flow } from './flow.ts';
import { placementOf } from './units.ts';

/** One element of an integer initializer, and who reads it there. */
export interface ShapeEntry {
  readonly reader: GraphNode;
  readonly input: number;
  readonly index: number;
  readonly factor: number;
}

/** @returns a reason where some constant cannot be made to follow */
export function shapeEntries(flow: Flow, candidate: Candidate): ShapeEntry[] | string {
  const entries: ShapeEntry[] = [];
  for (const node of flow.graph.nodes) {
    const found = finders[node.opType]?.(flow, node, candidate);
    if (typeof found === 'string') return found;
    entries.push(...(found ?? []));
  }
  return entries;
}

type Finder = (flow: Flow, node: GraphNode, candidate: Candidate) => ShapeEntry[] | string;

const finders: Readonly<Record<string, Finder>> = {
  Reshape: ofShape,
  Expand: ofShape,
  Slice: ofSlice,
  Tile: none,
};

function none(): ShapeEntry[] {
  return [];
}

/** Shape arguments: the entry of the output's axis that carries the units. -1, 0 and broadcasting 1 follow by themselves. */
function ofShape(flow: Flow, node: GraphNode, { atom, units }: Candidate): ShapeEntry[] | string {
  const axes = flow.axesOf(node.outputs[0] ?? '');
  const placed = placementOf(flow, axes, atom);
  const shape = node.inputs[1] ?? '';
  if (!placed) return [];
  const rank = flow.sizes(shape)?.[0]?.[0];
  if (rank === undefined) return `is shaped by a ${node.opType} whose shape is not known`;
  const at = placed.axis - axes.length + rank;
  if (at < 0) return [];
  const found = locate(flow, node, 1, at);
  if (!found) return `is shaped by a ${node.opType} whose shape is computed`;
  if (found.value <= 1) return [];
  const factor = found.value / units;
  if (!Number.isInteger(factor)) return `is shaped by a ${node.opType} in no multiple of its units`;
  return [{ ...found.entry, factor }];
}

/** The initializer element behind element `index` of a vector, through the Concat that joins constant and free parts. */
function locate(
  flow: Flow,
  reader: GraphNode,
  input: number,
  index: number,
): { value: number; entry: Omit<ShapeEntry, 'factor'> } | undefined {
  const name = reader.inputs[input] ?? '';
  const values = flow.constant(name);
  const value = values?.[index];
  if (value !== undefined) return { value, entry: { reader, input, index } };
  const maker = flow.graph.nodes.find(({ outputs }) => outputs.includes(name));
  if (maker?.opType !== 'Concat') return undefined;
  let start = 0;
  for (const [i, part] of maker.inputs.entries()) {
    const length = flow.sizes(part)?.[0]?.[0];
    if (length === undefined) return undefined;
    if (index < start + length) return locate(flow, maker, i, index - start);
    start += length;
  }
  return undefined;
}

/** Bounds of equal pieces move with the units; with a step only the end does. */
function ofSlice(flow: Flow, node: GraphNode, { atom, units }: Candidate): ShapeEntry[] | string {
  const placed = placementOf(flow, flow.axes(node.inputs[0] ?? '', node), atom);
  const starts = flow.constant(node.inputs[1]);
  const axes = flow.constant(node.inputs[3]) ?? starts?.map((_, i) => i);
  const at = placed && axes ? axes.indexOf(placed.axis) : -1;
  if (!placed || at < 0) return [];
  const step = (node.inputs[4] ? flow.constant(node.inputs[4])?.[at] : 1) ?? 0;
  const entries: ShapeEntry[] = [];
  for (const input of step === 1 ? [1, 2] : [2]) {
    const value = flow.constant(node.inputs[input])?.[at];
    const factor = (value ?? Number.NaN) / units;
    if (factor === 0) continue;
    if (!Number.isInteger(factor) || factor < 0) return 'is cut by Slice within its units';
    entries.push({ reader: node, input, index: at, factor });
  }
  return entries;
}
