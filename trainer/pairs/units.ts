/** Where the units of one atom are: every value and initializer use that carries it, and from which linears it came. */
import type { GraphNode } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import { type Atom, type Axis, fixedSize } from './atoms.ts';
import type { Flow } from './flow.ts';

/** An axis that carries units as `outer * units * inner`. */
export interface Placement {
  readonly axis: number;
  readonly outer: number;
  readonly inner: number;
  /** Atoms before and behind the units. */
  readonly outerAtoms: readonly Atom[];
  readonly innerAtoms: readonly Atom[];
}

/** Where an atom stands among a tensor's axes; `undefined` where it does not, `null` where it stands twice. */
export function placementOf(flow: Flow, axes: readonly Axis[], atom: Atom): Placement | undefined | null {
  let found: Placement | undefined;
  for (const [axis, own] of axes.entries()) {
    const leaves = flow.atoms.leaves(own);
    const at = leaves.indexOf(atom);
    if (at < 0) continue;
    if (found || leaves.indexOf(atom, at + 1) >= 0) return null;
    const outerAtoms = leaves.slice(0, at);
    const innerAtoms = leaves.slice(at + 1);
    // A free dimension merged into the axis leaves no fixed count.
    const outer = fixedSize(flow.atoms.length(outerAtoms)) ?? Number.NaN;
    const inner = fixedSize(flow.atoms.length(innerAtoms)) ?? Number.NaN;
    found = { axis, outer, inner, outerAtoms, innerAtoms };
  }
  return found;
}

/** Which linears' outputs reach a value along each atom. */
export type Reach = ReadonlyMap<string, ReadonlyMap<Atom, ReadonlySet<string>>>;

/** Weights of the linears from which each value got each of its atoms; tables and constants have none. */
export function reachOf(flow: Flow, linears: readonly Linear[]): Reach {
  const made = new Map<GraphNode, Linear>(linears.map((linear) => [linear.node, linear]));
  const reach = new Map<string, ReadonlyMap<Atom, ReadonlySet<string>>>();
  for (const node of flow.graph.nodes) {
    const linear = made.get(node);
    for (const output of node.outputs) {
      const own = new Map<Atom, Set<string>>();
      for (const atom of atomsOf(flow, flow.axesOf(output))) {
        const from = new Set(node.inputs.flatMap((input) => [...(reach.get(input)?.get(atom) ?? [])]));
        if (linear && outputAtoms(flow, linear).has(atom)) from.add(linear.weight);
        if (from.size > 0) own.set(atom, from);
      }
      reach.set(output, own);
    }
  }
  return reach;
}

export function atomsOf(flow: Flow, axes: readonly Axis[]): Set<Atom> {
  return new Set(axes.flatMap((axis) => flow.atoms.leaves(axis)));
}

function outputAtoms(flow: Flow, { node, weight, outAxis }: Linear): Set<Atom> {
  return new Set(flow.atoms.leaves(flow.axes(weight, node)[outAxis] ?? []));
}

/** One reading of an initializer by a node. */
export interface Use {
  readonly tensor: string;
  readonly node: GraphNode;
  readonly input: number;
}

/** Every reading of every initializer. */
export function initializerUses(flow: Flow): Use[] {
  return flow.graph.nodes.flatMap((node) =>
    node.inputs.flatMap((tensor, input) => (flow.isConstant(tensor) ? [{ tensor, node, input }] : [])),
  );
}
