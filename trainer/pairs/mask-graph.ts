/** A graph whose pairs are masked: the units' activations multiplied where they are summed. Weights and shapes stay whole. */
import { SppError } from '../../schema/errors.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { draftOf } from '../graph/rewrite.ts';
import type { MaskSite, Pair } from './pair.ts';

/**
 * @param masks one factor a unit, by pair; 0 equals cutting the unit
 * @throws `internal` when a mask has not one entry a unit
 */
export function maskedGraph(graph: Graph, pairs: readonly Pair[], masks: readonly Float32Array[]): Graph {
  const sites = new Map<string, Tensor[]>();
  for (const [p, { name, units, maskSites }] of pairs.entries()) {
    const mask = masks[p];
    if (mask?.length !== units)
      throw new SppError(
        'internal',
        `The mask of ${name} has ${mask?.length ?? 0} entries for ${units} units.`,
      );
    for (const site of maskSites)
      sites.set(site.tensor, [...(sites.get(site.tensor) ?? []), factor(mask, site)]);
  }
  const draft = draftOf(graph);
  const renamed = new Map<string, string>();
  for (const node of graph.nodes) {
    draft.nodes.push({ ...node, inputs: node.inputs.map((input) => renamed.get(input) ?? input) });
    for (const output of node.outputs) {
      let value = output;
      for (const tensor of sites.get(output) ?? []) {
        const mask = draft.constant(`${output}_mask`, tensor);
        value = draft.add('Mul', [value, mask], `${output}_masked`);
      }
      if (value !== output) renamed.set(output, value);
    }
  }
  return { ...graph, nodes: draft.nodes, initializers: draft.initializers };
}

/** The mask laid out along the site's axis. */
function factor(mask: Float32Array, { outer, inner, trailing }: MaskSite): Tensor {
  const length = outer * mask.length * inner;
  const data = Float32Array.from({ length }, (_, i) => mask[Math.floor(i / inner) % mask.length] ?? 0);
  return { dtype: 'float32', dims: [length, ...Array.from({ length: trailing }, () => 1)], data };
}
