/** A graph whose pairs are masked: the units' activations multiplied where they are summed. Weights and shapes stay whole. */
import { SppError } from '../../schema/errors.ts';
import type { Graph, Tensor, ValueInfo } from '../graph/graph.ts';
import { draftOf } from '../graph/rewrite.ts';
import type { MaskSite, Pair } from './pair.ts';

/** A graph that takes its masks as further inputs. */
export interface MaskableGraph {
  readonly graph: Graph;
  /**
   * The masks as feeds of those inputs.
   * @param masks one factor a unit, by pair; 0 equals cutting the unit
   * @throws `internal` when a mask has not one entry a unit
   */
  feeds(masks: readonly Float32Array[]): Record<string, Tensor>;
}

interface PlacedMask {
  readonly input: string;
  readonly pair: number;
  readonly site: MaskSite;
}

/**
 * The graph with a further input for each mask site, multiplied in there: masks can change from run to run.
 * @returns the graph, and what turns masks [units] by pair into the inputs' tensors
 */
export function maskableGraph(graph: Graph, pairs: readonly Pair[]): MaskableGraph {
  const draft = draftOf(graph);
  const placed: PlacedMask[] = pairs.flatMap(({ maskSites }, pair) =>
    maskSites.map((site) => ({ input: draft.fresh(`${site.tensor}_mask`), pair, site })),
  );
  const renamed = new Map<string, string>();
  for (const node of graph.nodes) {
    draft.nodes.push({ ...node, inputs: node.inputs.map((input) => renamed.get(input) ?? input) });
    for (const output of node.outputs) {
      let value = output;
      for (const { input, site } of placed)
        if (site.tensor === output) value = draft.add('Mul', [value, input], `${output}_masked`);
      if (value !== output) renamed.set(output, value);
    }
  }
  const inputs = placed.map(({ input, pair, site }): ValueInfo => {
    const { outer, inner, trailing } = site;
    const units = pairs[pair]?.units ?? 0;
    return { name: input, dtype: 'float32', dims: [outer * units * inner, ...ones(trailing)] };
  });
  return {
    graph: { ...graph, inputs: [...graph.inputs, ...inputs], nodes: draft.nodes },
    feeds(masks) {
      for (const [p, { name, units }] of pairs.entries())
        if (masks[p]?.length !== units)
          throw new SppError(
            'internal',
            `The mask of ${name} has ${masks[p]?.length ?? 0} entries for ${units} units.`,
          );
      return Object.fromEntries(
        placed.map(({ input, pair, site }) => [input, factor(masks[pair] ?? new Float32Array(), site)]),
      );
    },
  };
}

/**
 * The same with these masks built in.
 * @param masks as for `MaskableGraph.feeds`
 */
export function maskedGraph(graph: Graph, pairs: readonly Pair[], masks: readonly Float32Array[]): Graph {
  const maskable = maskableGraph(graph, pairs);
  const initializers = new Map([...graph.initializers, ...Object.entries(maskable.feeds(masks))]);
  return { ...maskable.graph, inputs: graph.inputs, initializers };
}

/** The mask laid out along the site's axis. */
function factor(mask: Float32Array, { outer, inner, trailing }: MaskSite): Tensor {
  const length = outer * mask.length * inner;
  const data = Float32Array.from({ length }, (_, i) => mask[Math.floor(i / inner) % mask.length] ?? 0);
  return { dtype: 'float32', dims: [length, ...ones(trailing)], data };
}

function ones(count: number): number[] {
  return Array.from({ length: count }, () => 1);
}
