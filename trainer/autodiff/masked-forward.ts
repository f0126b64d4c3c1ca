/** The forward graph with its masks as further inputs, one per pair, multiplied in at the pair's sites. */
import { SppError } from '../../schema/errors.ts';
import type { Graph, GraphNode, ValueInfo } from '../graph/graph.ts';
import type { MaskedAxis } from '../graph/mask-site.ts';
import { type Draft, draftOf, int64 } from '../graph/rewrite.ts';
import { type Facts, factsFor, type ValueFacts } from './facts.ts';

export interface MaskedUnits {
  readonly units: number;
  readonly maskSites: readonly MaskedAxis[];
}

export interface MaskedForward {
  readonly graph: Graph;
  /** Of every value, the new ones too. */
  readonly facts: Facts;
  /** Names of the mask inputs [units], one per pair. */
  readonly masks: readonly string[];
  /** The value that readers of this one see: itself, or the masked one. */
  masked(value: string): string;
}

/** @throws `bad-model` when a site's value is not in the graph; `bad-shape` when a mask does not cover its axis */
export function maskForward(graph: Graph, known: Facts, pairs: readonly MaskedUnits[]): MaskedForward {
  const draft = draftOf(graph);
  const facts = new Map(known);
  const masks = pairs.map(({ units }, pair) => {
    const name = draft.fresh(`mask_${pair}`);
    facts.set(name, { dims: [units], dtype: 'float32' });
    return name;
  });
  const made = new Set(graph.nodes.flatMap(({ outputs }) => outputs));
  const bySite = new Map<string, { site: MaskedAxis; pair: number }[]>();
  for (const [pair, { maskSites }] of pairs.entries())
    for (const site of maskSites) {
      if (!made.has(site.tensor))
        throw new SppError('bad-model', `The graph computes no value ${site.tensor} to mask.`);
      bySite.set(site.tensor, [...(bySite.get(site.tensor) ?? []), { site, pair }]);
    }
  const renamed = new Map<string, string>();
  for (const node of graph.nodes) {
    draft.nodes.push(rewired(node, renamed));
    for (const output of node.outputs)
      for (const { site, pair } of bySite.get(output) ?? []) {
        const shape = factsFor(facts, output);
        const units = pairs[pair]?.units ?? 0;
        const factor = spread(draft, facts, masks[pair] as string, units, site, shape);
        const value = draft.add('Mul', [renamed.get(output) ?? output, factor], `${output}_masked`);
        facts.set(value, shape);
        renamed.set(output, value);
      }
  }
  const inputs = masks.map(
    (name, pair): ValueInfo => ({ name, dtype: 'float32', dims: [pairs[pair]?.units ?? 0] }),
  );
  return {
    graph: {
      ...graph,
      inputs: [...graph.inputs, ...inputs],
      nodes: draft.nodes,
      initializers: draft.initializers,
    },
    facts,
    masks,
    masked: (value) => renamed.get(value) ?? value,
  };
}

function rewired(node: GraphNode, renamed: ReadonlyMap<string, string>): GraphNode {
  if (!node.inputs.some((input) => renamed.has(input))) return node;
  return { ...node, inputs: node.inputs.map((input) => renamed.get(input) ?? input) };
}

/** The mask [units] along a site's axis: [outer * units * inner, 1, ...], to broadcast from the right. */
function spread(
  draft: Draft,
  facts: Map<string, ValueFacts>,
  mask: string,
  units: number,
  { tensor, axis, outer, inner }: MaskedAxis,
  { dims }: ValueFacts,
): string {
  const width = outer * units * inner;
  if (dims[axis] !== width)
    throw new SppError(
      'bad-shape',
      `The mask on ${tensor} covers ${outer} x ${units} x ${inner} elements, but its axis ${axis} has ${dims[axis] ?? 'a free length'}.`,
    );
  const add = (opType: string, input: string, shape: readonly number[]) => {
    const value = draft.add(opType, [input, draft.constant('mask_shape', int64(shape))], 'mask_spread');
    facts.set(value, { dims: shape, dtype: 'float32' });
    return value;
  };
  const trailing = dims.length - 1 - axis;
  const repeated =
    outer * inner === 1 ? mask : add('Expand', add('Reshape', mask, [1, units, 1]), [outer, units, inner]);
  if (repeated === mask && trailing === 0) return mask;
  return add('Reshape', repeated, [width, ...Array<number>(trailing).fill(1)]);
}
