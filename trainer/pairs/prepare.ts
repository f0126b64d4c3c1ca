/** From an ONNX file to what every later stage works on: the prepared graph and its pairs. */
import { SppError } from '../../schema/errors.ts';
import { elementCount, type Graph, type Tensor } from '../graph/graph.ts';
import { findLinears, type Linear } from '../graph/linear.ts';
import { readOnnx } from '../graph/onnx-file.ts';
import { standsFor } from '../graph/plain/plain-form.ts';
import {
  checkEqual,
  type PreparedGraph,
  type SimplifiedGraph,
  simplifyGraph,
  spellOut,
} from '../graph/prepare.ts';
import { type JoinedLinear, joinedLinears, pieceName, splitJoined } from '../graph/split-joined.ts';
import type { StandIns } from '../graph/stand-in.ts';
import { traceGraph, traceOnce } from '../graph/trace.ts';
import type { FreeSizes } from '../runtime/sample-inputs.ts';
import type { Atom } from './atoms.ts';
import { buildPairs, type Plan, planCut } from './build-pairs.ts';
import { type Candidate, judgeAtoms } from './candidates.ts';
import { cloneTables } from './clone-tables.ts';
import { type Carriers, countedAt } from './costs.ts';
import { followDimensions } from './dimensions.ts';
import type { Flow } from './flow.ts';
import { wrongPairs } from './guard.ts';
import { weightPlacement } from './heads.ts';
import { leftAlone } from './left-alone.ts';
import type { LeftAlone, PreparedModel } from './pair.ts';
import { atomsOf, reachOf } from './units.ts';

/** With the settings of the free dimensions at which the model was traced; checks run at the same. */
export interface TracedModel extends PreparedModel {
  readonly sizes: readonly FreeSizes[];
  readonly carriers: Carriers;
}

/**
 * @param source how messages call the file
 * @throws `bad-model` when it is not a usable model, `no-pairs` when nothing in it can be cut
 */
export async function prepareModel(bytes: Uint8Array, source: string): Promise<TracedModel> {
  return preparePairs(readOnnx(bytes, source), source);
}

/** The same for a graph that has been read. */
export async function preparePairs(original: Graph, source: string): Promise<TracedModel> {
  const { simplified, pieces } = await withJoinedApart(await simplifyGraph(original, source), source);
  // Everything is written in the form that can be followed, then only what a pair needs: the rest is faster as it was.
  const sketch = await analyse(await spellOut(simplified, source, 'all'), source);
  const needed = new Set(sketch.replaced.filter((name) => isNeeded(sketch, name)));
  const analysis =
    needed.size === sketch.replaced.length
      ? sketch
      : await analyse(await spellOut(simplified, source, needed), source);
  const served = await checkEqual(simplified, analysis.flow.graph, source);
  const model = await settle(analysis, served ? simplified.standIns : undefined, withSketched(sketch));
  if (model.pairs.length === 0) throw noPairs(source, model.leftAlone);
  // The matrix that a piece is of ends a pair with another one.
  const isPiece = (name: string) => pieces.some((piece) => piece === name || standsFor(name, piece));
  return { ...model, leftAlone: model.leftAlone.filter(({ name }) => !isPiece(name)) };
}

/**
 * The model with FLOPs counted for one example of the data: where the file leaves lengths or sides open, those of a trace say little of what
 * a unit costs.
 * @param feeds of one example; inputs that are missing are drawn
 */
export async function countedFor(
  model: TracedModel,
  feeds: Readonly<Record<string, Tensor>>,
): Promise<TracedModel> {
  const [, , single] = model.sizes;
  if (single === undefined) return model;
  return { ...model, ...countedAt(model, await traceOnce(model.graph, single, feeds)) };
}

/**
 * Takes those linears of joined values apart by which pairs are found: as one product they stay where they begin a pair, and where what
 * is joined is no pair's inner dimension.
 */
async function withJoinedApart(
  simplified: SimplifiedGraph,
  source: string,
): Promise<{ readonly simplified: SimplifiedGraph; readonly pieces: readonly string[] }> {
  const joined = joinedLinears(simplified.graph, simplified.traces);
  if (joined.length === 0) return { simplified, pieces: [] };
  const whole = await analyse(await spellOut(simplified, source, 'all'), source);
  const begin = whole.plans.flatMap(({ candidate }) => candidate.producers.map(({ node }) => node.name));
  const candidates = joined.filter(
    ({ node }) => !begin.some((name) => name === node.name || standsFor(name, node.name)),
  );
  const sketch = await analyse(
    await spellOut(await apart(simplified, candidates, source), source, 'all'),
    source,
  );
  const end = sketch.plans.flatMap(({ candidate }) => candidate.consumers.map(({ node }) => node.name));
  const useful = candidates.filter(({ node, pieces }) =>
    pieces.some((_, i) => {
      const piece = pieceName(node, i);
      return end.some((name) => name === piece || standsFor(name, piece));
    }),
  );
  if (sketch.plans.length <= whole.plans.length) return { simplified, pieces: [] };
  const pieces = useful.flatMap(({ node, pieces: parts }) => parts.map((_, i) => pieceName(node, i)));
  return { simplified: await apart(simplified, useful, source), pieces };
}

async function apart(
  simplified: SimplifiedGraph,
  joined: readonly JoinedLinear[],
  source: string,
): Promise<SimplifiedGraph> {
  if (joined.length === 0) return simplified;
  const graph = splitJoined(simplified.graph, joined);
  return { ...simplified, graph, traces: (await traceGraph(graph, source, () => false)).traces };
}

/** What seems to be a pair in a prepared graph. */
interface Analysis extends PreparedGraph {
  readonly flow: Flow;
  readonly linears: readonly Linear[];
  readonly plans: readonly Plan[];
  readonly reasons: ReadonlyMap<Atom, string>;
}

async function analyse(written: PreparedGraph, source: string): Promise<Analysis> {
  const prepared = await withOwnTables(written, source);
  const { graph, traces } = prepared;
  const flow = followDimensions(graph, traces);
  const linears = findLinears(graph);
  const { candidates, refused } = judgeAtoms(flow, linears, reachOf(flow, linears));
  const reasons = new Map(refused);
  const inOrder = candidates.toSorted((a, b) => a.position - b.position || b.units - a.units);
  return { ...prepared, flow, linears, plans: compatible(flow, inOrder, reasons), reasons };
}

/** Whether units of some pair pass what stands for this node. */
function isNeeded({ flow, plans }: Analysis, name: string): boolean {
  const units = new Set(plans.map(({ candidate }) => candidate.atom));
  return flow.graph.nodes.some(
    (node) =>
      standsFor(node.name, name) &&
      [
        ...node.inputs.map((input) => flow.axes(input, node)),
        ...node.outputs.map((output) => flow.axesOf(output)),
      ].some((axes) => [...atomsOf(flow, axes)].some((atom) => units.has(atom))),
  );
}

/** A better reason than the one that was found, where there is one. */
type Sketched = (name: string, reason: string) => string | undefined;

/**
 * Reasons for nodes that were linears only while they were written plainly, by what stood for them, and for linears that seem to end at a
 * mean that is only not written plainly because something else keeps them from being a pair.
 */
function withSketched({ flow, linears, reasons, replaced }: Analysis): Sketched {
  const seen = leftAlone(flow, linears, [], reasons);
  const known = new Set(replaced);
  return (name, reason) => {
    if (known.has(name)) return seen.find((entry) => standsFor(entry.name, name))?.reason;
    return / is reduced by /.test(reason) ? seen.find((entry) => entry.name === name)?.reason : undefined;
  };
}

/** Pairs that really are; perhaps none. */
async function settle(
  analysis: Analysis,
  standIns: StandIns | undefined,
  sketched: Sketched,
): Promise<TracedModel> {
  const { flow, linears, traces, sizes } = analysis;
  const [, , single] = traces;
  const reasons = new Map(analysis.reasons);
  let { plans } = analysis;
  let built = buildPairs(flow, linears, plans, single);
  const wrong = new Set(await wrongPairs(built, sizes.slice(1), standIns));
  if (wrong.size > 0) {
    for (const [p, { candidate }] of plans.entries())
      if (wrong.has(p))
        reasons.set(candidate.atom, 'was taken for a pair, but masking it does not equal cutting it');
    plans = plans.filter((_, p) => !wrong.has(p));
    built = buildPairs(flow, linears, plans, single);
  }
  const taken = plans.map(({ candidate }) => candidate);
  return {
    ...built,
    sizes,
    leftAlone: leftAlone(flow, linears, taken, reasons).map(({ name, reason }) => ({
      name,
      reason: sketched(name, reason) ?? reason,
    })),
    params: countParams(built.graph),
  };
}

async function withOwnTables(prepared: PreparedGraph, source: string): Promise<PreparedGraph> {
  const flow = followDimensions(prepared.graph, prepared.traces);
  const graph = cloneTables(flow, reachOf(flow, findLinears(prepared.graph)));
  if (graph === prepared.graph) return prepared;
  const { traces } = await traceGraph(graph, source, () => false);
  return { ...prepared, graph, traces };
}

/** Plans of all candidates but those that cannot be cut, or that share a weight's axis or a constant with an earlier one. */
function compatible(flow: Flow, candidates: readonly Candidate[], reasons: Map<Atom, string>): Plan[] {
  const moved = new Set<string>();
  const planned = new Set<Atom>();
  return candidates.flatMap((candidate) => {
    const plan = planCut(flow, candidate);
    if (typeof plan === 'string') {
      reasons.set(candidate.atom, plan);
      return [];
    }
    const keys = plan.entries.map(({ reader, input, index }) => `${reader.name} ${input} ${index}`);
    const beside = [...candidate.producers, ...candidate.consumers].flatMap((linear) => {
      const { outerAtoms, innerAtoms } = weightPlacement(flow, linear, candidate);
      return [...outerAtoms, ...innerAtoms];
    });
    if (keys.some((key) => moved.has(key)) || beside.some((atom) => planned.has(atom))) {
      reasons.set(candidate.atom, 'shares an axis with the units of another pair');
      return [];
    }
    for (const key of keys) moved.add(key);
    planned.add(candidate.atom);
    return [plan];
  });
}

function countParams({ initializers }: Graph): number {
  let count = 0;
  for (const { dtype, dims } of initializers.values()) if (dtype === 'float32') count += elementCount(dims);
  return count;
}

function noPairs(source: string, rest: readonly LeftAlone[]): SppError {
  const shown = rest.slice(0, 8).map(({ name, reason }) => `${name}: ${reason}`);
  const more = rest.length > shown.length ? [`and ${rest.length - shown.length} more`] : [];
  return new SppError(
    'no-pairs',
    `${source} has no pair of linears joined by an inner dimension that the rest of the network does not see: no query and key ` +
      `summed in attention scores, no value and projection, no two layers of an MLP. Left alone: ${
        [...shown, ...more].join('; ') || 'no linear was found at all'
      }.`,
    {
      hint: 'Export the float model from torch.onnx in eval mode, before operators are fused or quantised.',
      details: { leftAlone: rest },
    },
  );
}
