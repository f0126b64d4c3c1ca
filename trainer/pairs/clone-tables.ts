/**
 * Tables that are computed once and read everywhere (cosines and sines of rotary positions) tie the units of all layers
 * together. Each linear's units get a table of their own, so that each pair can be cut by itself.
 */
import type { Graph, GraphNode } from '../graph/graph.ts';
import { producers } from '../graph/graph.ts';
import { ELEMENTWISE } from '../graph/op-classes.ts';
import { draftOf } from '../graph/rewrite.ts';
import { type Atom, fixedSize } from './atoms.ts';
import { COUNTS_HEADS, type Flow } from './flow.ts';
import { atomsOf, type Reach } from './units.ts';

/** A table at the place where it meets units that linears made. */
interface Meeting {
  readonly node: GraphNode;
  readonly input: number;
  /** The linears that made the units. */
  readonly key: string;
  readonly atoms: ReadonlySet<Atom>;
}

/** @returns the same graph object where no table is shared; otherwise trace and follow it again */
export function cloneTables(flow: Flow, reach: Reach): Graph {
  const byTable = new Map<string, Meeting[]>();
  for (const node of flow.graph.nodes) {
    if (!ELEMENTWISE.has(node.opType)) continue;
    for (const [input, value] of node.inputs.entries()) {
      const meeting = meets(flow, reach, node, input);
      if (meeting) byTable.set(value, [...(byTable.get(value) ?? []), meeting]);
    }
  }
  const shared = [...byTable].filter(([, meetings]) => new Set(meetings.map(({ key }) => key)).size > 1);
  if (shared.length === 0) return flow.graph;

  const draft = draftOf(flow.graph);
  const makers = producers(flow.graph);
  const inputs = new Map<GraphNode, Map<number, string>>();
  const clones = new Map<string, string>();
  const clone = (value: string, key: string, atoms: ReadonlySet<Atom>): string => {
    const maker = makers.get(value);
    const carries = [...atomsOf(flow, flow.axesOf(value))].some((atom) => atoms.has(atom));
    if (!maker || !carries) return value;
    const id = `${key}\u0000${value}`;
    const known = clones.get(id);
    if (known !== undefined) return known;
    const own = maker.inputs.map((input) => clone(input, key, atoms));
    const outputs = maker.outputs.map((output) => (output === '' ? '' : draft.fresh(`${output}_own`)));
    draft.nodes.push({ ...maker, name: draft.fresh(`${maker.name}_own`), inputs: own, outputs });
    for (const [i, output] of maker.outputs.entries()) clones.set(`${key}\u0000${output}`, outputs[i] ?? '');
    return clones.get(id) ?? value;
  };
  const pending = new Map<GraphNode, [string, Meeting][]>();
  for (const [value, meetings] of shared) {
    const [first] = meetings;
    for (const meeting of meetings)
      if (meeting.key !== first?.key)
        pending.set(meeting.node, [...(pending.get(meeting.node) ?? []), [value, meeting]]);
  }
  for (const node of flow.graph.nodes) {
    for (const [value, { input, key, atoms }] of pending.get(node) ?? []) {
      const own = inputs.get(node) ?? new Map<number, string>();
      own.set(input, clone(value, key, atoms));
      inputs.set(node, own);
    }
    const own = inputs.get(node);
    draft.nodes.push(own ? { ...node, inputs: node.inputs.map((name, i) => own.get(i) ?? name) } : node);
  }
  return { ...flow.graph, nodes: draft.nodes };
}

function meets(flow: Flow, reach: Reach, node: GraphNode, input: number): Meeting | undefined {
  const value = node.inputs[input] ?? '';
  if (flow.isConstant(value) || value === '') return undefined;
  const atoms = new Set<Atom>();
  const weights = new Set<string>();
  for (const atom of atomsOf(flow, flow.axesOf(value))) {
    if (fixedSize(flow.atoms.size(atom)) === undefined || reach.get(value)?.get(atom)) continue;
    // A bias of scores by head may stay shared: heads are never cut.
    if (flow.atoms.reason(atom) === COUNTS_HEADS) continue;
    const from = node.inputs.flatMap((other) => [...(reach.get(other)?.get(atom) ?? [])]);
    if (from.length === 0) continue;
    atoms.add(atom);
    for (const weight of from) weights.add(weight);
  }
  return atoms.size === 0 ? undefined : { node, input, key: [...weights].sort().join(), atoms };
}
