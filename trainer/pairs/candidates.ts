/** Decides for each dimension atom whether it is the inner dimension of a pair, of which kind, and if not, why not. */
import type { PairKind } from '../../schema/manifest.ts';
import type { GraphNode } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import { ELEMENTWISE, LAYOUT } from '../graph/op-classes.ts';
import { type Atom, fixedSize } from './atoms.ts';
import { COUNTS_HEADS, type Contraction, type Flow } from './flow.ts';
import { atomsOf, placementOf, type Reach } from './units.ts';

/** An atom that can be cut. */
export interface Candidate {
  readonly atom: Atom;
  readonly units: number;
  readonly kind: PairKind;
  readonly producers: readonly Linear[];
  readonly consumers: readonly Linear[];
  /** Products between activations that sum the units (scores) or carry them (mixes). */
  readonly scores: readonly Contraction[];
  readonly mixes: readonly Contraction[];
  /** Every value along which some product or reduction sums the units: masked there, they are as good as cut. */
  readonly summed: readonly string[];
  /** Place in the graph: the first product that sums the units. */
  readonly position: number;
}

export interface Judged {
  readonly candidates: readonly Candidate[];
  /** Reason by atom, for atoms that linears make and that are not taken. */
  readonly refused: ReadonlyMap<Atom, string>;
}

/** In the order in which the graph sums them. */
export function judgeAtoms(flow: Flow, linears: readonly Linear[], reach: Reach): Judged {
  const candidates: Candidate[] = [];
  const refused = new Map<Atom, string>();
  const seen = new Set<Atom>();
  for (const { axis } of flow.contractions) {
    for (const atom of flow.atoms.leaves(axis)) {
      const units = fixedSize(flow.atoms.size(atom));
      if (seen.has(atom) || units === undefined || flow.atoms.reason(atom) !== undefined) continue;
      seen.add(atom);
      const judged = judge(flow, linears, reach, atom, units);
      if (typeof judged === 'string') refused.set(atom, judged);
      else candidates.push(judged);
    }
  }
  return { candidates, refused };
}

function judge(
  flow: Flow,
  linears: readonly Linear[],
  reach: Reach,
  atom: Atom,
  units: number,
): Candidate | string {
  const carries = (linear: Linear, axis: 0 | 1) =>
    flow.atoms.leaves(flow.axes(linear.weight, linear.node)[axis] ?? []).includes(atom);
  const producers = distinct(linears.filter((linear) => carries(linear, linear.outAxis)));
  const consumers = distinct(linears.filter((linear) => carries(linear, linear.inAxis)));
  const sums = flow.contractions.filter(({ axis }) => flow.atoms.leaves(axis).includes(atom));
  const reductions = flow.reductions.filter(({ axis }) => flow.atoms.leaves(axis).includes(atom));
  const scores = sums.filter((sum) => sum.betweenActivations || isFixedScore(flow, linears, sum));
  const mixes = flow.contractions.filter(
    (product) => product.betweenActivations && !sums.includes(product) && inOutput(flow, product, atom),
  );
  if (standsTwice(flow, atom)) return 'stands twice in one tensor';
  const position = Math.min(...sums.map(({ node }) => flow.graph.nodes.indexOf(node)));
  const summed = [
    ...sums.map(({ left, right }) => (flow.isConstant(left) ? right : left)),
    ...reductions.map(({ input }) => input),
  ];
  const base = { atom, units, consumers, scores, mixes, summed: [...new Set(summed)], position };

  if (scores.length > 0) {
    const ordered = queryFirst(flow, producers, scores, reach, atom);
    if (consumers.length > 0) return 'is summed both between activations and by a linear';
    if (!ordered) return `is summed between activations, but ${made(producers)}, not by a query and a key`;
    // Keys that first mix the values, as in linear attention, weigh them just as well.
    if (mixes.length === 0 && !scores.some((score) => weighs(flow, score)))
      return 'is summed between activations to products that weigh nothing';
    return { ...base, kind: 'query-key', producers: ordered };
  }
  if (consumers.length === 0) return 'is summed by no linear';
  if (producers.some((linear) => mixesHeads(flow, linear))) return 'is a mix of heads';
  if (reductions.length > 0 && isAddedTo(flow, reach, atom))
    return 'is summed over where it is added to something else (a residual stream)';
  if (producers.length === 1)
    return { ...base, kind: mixes.length > 0 ? 'value-projection' : 'sequential', producers };
  const kind = mixes.length > 0 ? 'value-projection' : undefined;
  const gated = producers.length === 2 ? meeting(flow, reach, atom, producers, 'Mul') : undefined;
  if (gated && kind === undefined) return { ...base, kind: 'gated', producers: gated };
  if (gated) return { ...base, kind: 'value-projection', producers: mixedFirst(reach, atom, mixes, gated) };
  // A matrix and what was learnt beside it, an adapter for one: the units are their sum.
  const summedUp = producers.length === 2 ? meeting(flow, reach, atom, producers, 'Add') : undefined;
  if (summedUp) return { ...base, kind: kind ?? 'sequential', producers: summedUp };
  return `${made(producers)}, which do not form a pair`;
}

/** A linear over the heads themselves. */
function mixesHeads(flow: Flow, { weight, node, inAxis }: Linear): boolean {
  const leaves = flow.atoms.leaves(flow.axes(weight, node)[inAxis] ?? []);
  return leaves.length > 0 && leaves.every((atom) => flow.atoms.reason(atom) === COUNTS_HEADS);
}

function made(producers: readonly Linear[]): string {
  return producers.length === 1 ? 'is made by one linear' : `is made by ${producers.length} linears together`;
}

/** Linears that share a matrix are one. */
function distinct(linears: readonly Linear[]): Linear[] {
  return [...new Map(linears.toReversed().map((linear) => [linear.weight, linear])).values()].reverse();
}

function inOutput(flow: Flow, { free }: Contraction, atom: Atom): boolean {
  return atomsOf(flow, free).has(atom);
}

function standsTwice(flow: Flow, atom: Atom): boolean {
  return flow.graph.nodes.some(
    (node) =>
      node.outputs.some((output) => placementOf(flow, flow.axesOf(output), atom) === null) ||
      node.inputs.some((input) => placementOf(flow, flow.axes(input, node), atom) === null),
  );
}

/** A product with a constant that no linear stands for: queries against a table of positions, keys against learnt queries. */
function isFixedScore(flow: Flow, linears: readonly Linear[], { node, left, right }: Contraction): boolean {
  return flow.isConstant(left) !== flow.isConstant(right) && !linears.some((linear) => linear.node === node);
}

/** Units that come from linears meet others in a sum, as in a residual stream; constants are part of the linears. */
function isAddedTo(flow: Flow, reach: Reach, atom: Atom): boolean {
  return flow.graph.nodes.some(
    ({ opType, inputs, outputs }) =>
      (opType === 'Add' || opType === 'Sum') &&
      reach.get(outputs[0] ?? '')?.has(atom) &&
      inputs.some(
        (value) =>
          !flow.isConstant(value) &&
          !reach.get(value)?.has(atom) &&
          atomsOf(flow, flow.axesOf(value)).has(atom),
      ),
  );
}

/**
 * The linear behind the left operand of the first scores that have linears on both sides, then the one behind the right, then those
 * of further scores of the same units (relative positions); undefined where one side of all scores comes from no linear.
 * Keys that learnt queries look at stand alone.
 */
function queryFirst(
  flow: Flow,
  producers: readonly Linear[],
  scores: readonly Contraction[],
  reach: Reach,
  atom: Atom,
): Linear[] | undefined {
  const behind = (value: string) =>
    [...(reach.get(value)?.get(atom) ?? [])].flatMap(
      (weight) => producers.find((own) => own.weight === weight) ?? [],
    );
  for (const { left, right } of scores) {
    const [query, key] = [behind(left), behind(right)];
    if (query.length > 0 && key.length > 0) return [...new Set([...query, ...key, ...producers])];
  }
  const oneIsFixed = ({ left, right }: Contraction) => flow.isFixed(left) !== flow.isFixed(right);
  return producers.length === 1 && scores.every(oneIsFixed) ? [...producers] : undefined;
}

/** Operators between scores and what they weigh, beside layout and elementwise ones: padding, sinks, relative positions. */
const TO_WEIGHTS = new Set(['Concat', 'Slice', 'Pad', 'Expand', 'Gather', 'GatherElements']);

/**
 * Whether scores become weights: by Softmax, or as they are, squared, or through a Sigmoid, in a product with something else that sums over
 * what they score. Looks through linears that mix heads only.
 */
function weighs(flow: Flow, score: Contraction): boolean {
  const own = atomsOf(flow, score.free);
  const talks = (node: GraphNode) =>
    flow.contractions.some(
      (product) =>
        product.node === node &&
        !product.betweenActivations &&
        flow.atoms.leaves(product.axis).every((atom) => own.has(atom)),
    );
  const mixes = new Set(
    flow.contractions.flatMap(({ node, axis, betweenActivations }) =>
      betweenActivations && flow.atoms.leaves(axis).some((atom) => own.has(atom)) ? [node] : [],
    ),
  );
  const queue = new Set(score.node.outputs);
  for (const value of queue) {
    for (const node of flow.readers.get(value) ?? []) {
      if (node.opType === 'Softmax' || mixes.has(node)) return true;
      const { opType } = node;
      if (ELEMENTWISE.has(opType) || LAYOUT.has(opType) || TO_WEIGHTS.has(opType) || talks(node))
        for (const output of node.outputs) queue.add(output);
    }
  }
  return false;
}

/** Of a value and the gate on what attention mixes of it, first the value. */
function mixedFirst(
  reach: Reach,
  atom: Atom,
  mixes: readonly Contraction[],
  [first, second]: readonly [Linear, Linear],
): readonly Linear[] {
  const isMixed = ({ weight }: Linear) =>
    mixes.some(({ left, right }) => [left, right].some((value) => reach.get(value)?.get(atom)?.has(weight)));
  return isMixed(first) ? [first, second] : [second, first];
}

/**
 * Two linears whose units some product multiplies or some sum adds, one on each side; first the one that comes through something (a gate
 * through its activation) while the other comes as it is.
 */
function meeting(
  flow: Flow,
  reach: Reach,
  atom: Atom,
  producers: readonly Linear[],
  by: 'Mul' | 'Add',
): readonly [Linear, Linear] | undefined {
  for (const { opType, inputs } of flow.graph.nodes) {
    if (opType !== by) continue;
    const sides = inputs.map((input) => [...(reach.get(input)?.get(atom) ?? [])]);
    const [left, right] = sides.map(([weight]) => producers.find((linear) => linear.weight === weight));
    if (sides.some(({ length }) => length !== 1) || !left || !right || left === right) continue;
    return left.output === inputs[0] ? [right, left] : [left, right];
  }
  return undefined;
}
