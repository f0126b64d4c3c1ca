/** From candidates to the contract of pair.ts: private constants, unit axes, mask sites, linears, costs, names. */
import { elementCount, type Graph } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import type { Trace } from '../graph/traces.ts';
import type { Candidate } from './candidates.ts';
import { type Carriers, countedAt, sharedBy } from './costs.ts';
import type { Flow } from './flow.ts';
import { headCounts, rotationOf, weightPlacement } from './heads.ts';
import { pairNames } from './names.ts';
import type { LinearMap, MaskSite, Pair, ShapeConstantOf, SharedCost, UnitAxisOf } from './pair.ts';
import { type Privatised, privatise } from './private-constants.ts';
import { type ShapeEntry, shapeEntries } from './shape-entries.ts';
import { atomsOf, initializerUses, type Placement, placementOf, type Use } from './units.ts';

export interface Plan {
  readonly candidate: Candidate;
  readonly entries: readonly ShapeEntry[];
  readonly sites: readonly MaskSite[];
}

/** What else a candidate needs to be cut, or why it cannot be. */
export function planCut(flow: Flow, candidate: Candidate): Plan | string {
  const entries = shapeEntries(flow, candidate);
  if (typeof entries === 'string') return entries;
  const sites: MaskSite[] = [];
  for (const tensor of candidate.summed) {
    const placed = placementOf(flow, flow.axesOf(tensor), candidate.atom);
    if (!placed || Number.isNaN(placed.outer * placed.inner))
      return 'is merged with a free dimension where it is summed';
    const trailing = flow.axesOf(tensor).length - 1 - placed.axis;
    sites.push({ tensor, ...unitAxis(placed), trailing });
  }
  return { candidate, entries, sites };
}

function unitAxis({ axis, outer, inner }: Placement): Omit<UnitAxisOf, 'tensor'> {
  return { axis, outer, inner };
}

export interface Built {
  readonly graph: Graph;
  readonly pairs: readonly Pair[];
  readonly shapeConstants: readonly ShapeConstantOf[];
  readonly shared: readonly SharedCost[];
  readonly flops: number;
  readonly carriers: Carriers;
}

/**
 * @param plans in graph order; no two move the same constant
 * @param trace with batch 1, for which FLOPs are counted
 */
export function buildPairs(
  flow: Flow,
  linears: readonly Linear[],
  plans: readonly Plan[],
  trace: Trace,
): Built {
  const uses = initializerUses(flow);
  const own = privatise(flow.graph, uses, (use) => signature(flow, linears, plans, use));
  const names = pairNames(plans.map(({ candidate }) => candidate.kind));
  const carriers = plans.map(({ candidate: { atom } }) =>
    flow.graph.nodes.flatMap((node) =>
      [...node.inputs.map((input) => flow.axes(input, node)), flow.axesOf(node.outputs[0] ?? '')].some(
        (found) => atomsOf(flow, found).has(atom),
      )
        ? [node.name]
        : [],
    ),
  );
  const pairs = plans.map((plan, p): Pair => {
    const { candidate, sites } = plan;
    const { kind, units, producers, consumers } = candidate;
    const axes = unitAxes(flow, uses, own, candidate);
    const rotation = rotationOf(flow, candidate, isTied(linears, candidate));
    const params = axes.reduce((sum, { tensor }) => sum + size(own.graph, tensor), 0);
    return {
      name: names[p] ?? '',
      kind,
      ...headCounts(flow, candidate),
      units,
      flopsPerUnit: 0, // counted below
      paramsPerUnit: params / units,
      unitAxes: axes,
      maskSites: sites,
      producers: producers.map((linear) => linearMap(flow, own, linear, candidate, true)),
      consumers: consumers.map((linear) => linearMap(flow, own, linear, candidate, false)),
      ...(rotation ? { rotation } : {}),
    };
  });
  const shapeConstants = plans.flatMap(({ entries }, pair) =>
    entries.map(({ reader, input, index, factor }) => ({
      tensor: own.nameOf(reader, input),
      index,
      pair,
      factor,
    })),
  );
  const shared = sharedBy(
    pairs.map(({ unitAxes: axes }) => axes.map(({ tensor }) => [tensor, size(own.graph, tensor)] as const)),
  ).map(([of, params]) => ({ pairs: of, flops: 0, params }));
  const counted = countedAt({ graph: flow.graph, pairs, shared, carriers }, trace);
  return { graph: own.graph, shapeConstants, carriers, ...counted };
}

function size(graph: Graph, tensor: string): number {
  return elementCount(graph.initializers.get(tensor)?.dims ?? []);
}

/** One matrix at several places, as in models that share layers. */
function isTied(linears: readonly Linear[], { producers, consumers }: Candidate): boolean {
  return [...producers, ...consumers].some(
    ({ weight }) => linears.filter((linear) => linear.weight === weight).length > 1,
  );
}

/** Uses stay together only if they are cut alike, and if a bias belongs to the same matrix: it may be written later. */
function signature(
  flow: Flow,
  linears: readonly Linear[],
  plans: readonly Plan[],
  { tensor, node, input }: Use,
): string {
  const parts = plans.flatMap(({ candidate, entries }, p) => {
    const placed = placementOf(flow, flow.axes(tensor, node), candidate.atom);
    const cut = placed ? [`${p}:${placed.axis}:${placed.outer}:${placed.inner}`] : [];
    const moved = entries.some((entry) => entry.reader === node && entry.input === input);
    return moved ? [...cut, `${node.name} ${input}`] : cut;
  });
  const linear = linears.find(
    (candidate) => candidate.bias === tensor && (candidate.add ?? candidate.node) === node,
  );
  if (linear && linear.weight !== tensor) parts.push(`bias of ${linear.weight}`);
  return parts.join();
}

function unitAxes(flow: Flow, uses: readonly Use[], own: Privatised, { atom }: Candidate): UnitAxisOf[] {
  const found = new Map<string, UnitAxisOf>();
  for (const { tensor, node, input } of uses) {
    const placed = placementOf(flow, flow.axes(tensor, node), atom);
    const name = own.nameOf(node, input);
    if (placed) found.set(name, { tensor: name, ...unitAxis(placed) });
  }
  return [...found.values()];
}

function linearMap(
  flow: Flow,
  own: Privatised,
  linear: Linear,
  candidate: Candidate,
  produces: boolean,
): LinearMap {
  const { node, add, weight, inAxis, outAxis, bias } = linear;
  const placed = weightPlacement(flow, linear, candidate);
  const reader = add ?? node;
  const biasInput = bias === undefined ? -1 : reader.inputs.indexOf(bias, add ? 0 : 2);
  const biasPlaced =
    bias === undefined ? undefined : placementOf(flow, flow.axes(bias, reader), candidate.atom);
  return {
    node: node.name,
    weight: { tensor: own.nameOf(node, node.inputs.indexOf(weight)), ...unitAxis(placed) },
    otherAxis: produces ? inAxis : outAxis,
    ...(bias === undefined
      ? {}
      : {
          bias: {
            tensor: own.nameOf(reader, biasInput),
            ...(biasPlaced && produces ? unitAxis(biasPlaced) : { axis: -1, outer: 1, inner: 1 }),
          },
        }),
    input: linear.input,
    output: linear.output,
  };
}
