/** What a pair's attention looks like from its units: how many heads each linear serves, and whether their basis is free. */
import type { GraphNode } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import { LAYOUT } from '../graph/op-classes.ts';
import type { Atom } from './atoms.ts';
import type { Candidate } from './candidates.ts';
import type { Flow } from './flow.ts';
import type { Pair } from './pair.ts';
import { atomsOf, type Placement, placementOf } from './units.ts';

/** Beside layout: what looks at no unit's value. */
const PASSES = new Set(['Expand', 'Shape']);

/** Placement of a candidate's units along a linear's weight. */
export function weightPlacement(flow: Flow, linear: Linear, { atom }: Candidate): Placement {
  return placementOf(flow, flow.axes(linear.weight, linear.node), atom) as Placement;
}

/** Heads of the query side, and of the key-value side where that has fewer. */
export function headCounts(flow: Flow, candidate: Candidate): { heads: number; kvHeads?: number } {
  const products = [...candidate.scores, ...candidate.mixes];
  const counting = atomsOf(
    flow,
    products.flatMap(({ free }) => free),
  );
  const counts = [...candidate.producers, ...candidate.consumers].map((linear) => {
    const { outerAtoms } = weightPlacement(flow, linear, candidate);
    return outerAtoms
      .filter((atom) => counting.has(atom))
      .reduce((product, atom) => product * (flow.atoms.size(atom)[0] ?? 1), 1);
  });
  const heads = Math.max(1, ...counts);
  const kvHeads = Math.min(heads, ...counts);
  return products.length > 0 && kvHeads < heads ? { heads, kvHeads } : { heads };
}

/** See `Pair.rotation`; undefined where anything but layout and common factors stands between, or heads are laid out otherwise. */
export function rotationOf(flow: Flow, candidate: Candidate, tied: boolean): Pair['rotation'] {
  const { atom, kind, producers, consumers, scores, mixes } = candidate;
  const attention = kind === 'value-projection';
  if (tied || !(attention || kind === 'query-key')) return undefined;
  if (attention ? mixes.length !== 1 || consumers.length !== 1 : scores.length !== 1) return undefined;
  const [many, few] = attention ? [consumers[0], producers[0]] : producers;
  if (!many || !few || !groupsFollow(flow, candidate, many, few)) return undefined;
  const adds = new Set(producers.map(({ add }) => add));
  const products = new Set<GraphNode>([
    ...[...scores, ...mixes].map(({ node }) => node),
    ...[...producers, ...consumers].map(({ node }) => node),
  ]);
  const touching = flow.graph.nodes.filter((node) =>
    [
      ...node.inputs.map((input) => flow.axes(input, node)),
      ...node.outputs.map((output) => flow.axesOf(output)),
    ].some((axes) => carries(flow, axes, atom)),
  );
  const free = touching.every(
    (node) =>
      LAYOUT.has(node.opType) ||
      PASSES.has(node.opType) ||
      products.has(node) ||
      adds.has(node) ||
      isCommonFactor(flow, node, atom),
  );
  if (!free) return undefined;
  const [mix] = mixes;
  // The values may only stand on the right: [batch, heads, queries, keys] x [batch, heads, keys, units].
  if (attention && (!mix || carries(flow, flow.axesOf(mix.left), atom))) return undefined;
  return mix ? { attention: mix.left } : {};
}

function carries(flow: Flow, axes: Parameters<typeof atomsOf>[1], atom: Atom): boolean {
  return atomsOf(flow, axes).has(atom);
}

/** Units stand innermost, head after head, and heads that share a key-value head stand together. */
function groupsFollow(flow: Flow, candidate: Candidate, many: Linear, few: Linear): boolean {
  const { heads, kvHeads = heads } = headCounts(flow, candidate);
  const outer = weightPlacement(flow, many, candidate);
  const shared = weightPlacement(flow, few, candidate);
  return (
    outer.inner === 1 &&
    shared.inner === 1 &&
    outer.outer === heads &&
    shared.outer === kvHeads &&
    shared.outerAtoms.every((atom, i) => outer.outerAtoms[i] === atom)
  );
}

/** A product or quotient with something that is the same for all units. */
function isCommonFactor(flow: Flow, node: GraphNode, atom: Atom): boolean {
  const [left, right] = node.inputs.map((input) => carries(flow, flow.axes(input, node), atom));
  if (node.opType === 'Mul') return left !== right;
  return node.opType === 'Div' && left === true && right === false;
}
