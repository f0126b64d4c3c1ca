/**
 * Operators that can be written in a form that pair finding follows. The plain form is slower, or only another one, so that the
 * caller says which nodes shall have it. To add one: an entry here.
 */
import type { Graph } from '../graph.ts';
import { draftOf, withoutDeadCode } from '../rewrite.ts';
import { fixedLength } from '../trace.ts';
import type { Traces } from '../traces.ts';
import { depthwiseConvolution } from './depthwise-convolution.ts';
import { layerNormalisation, lpNormalisation, mean, rmsNormalisation } from './normalisation.ts';
import { type PlainForm, siteOf } from './plain-form.ts';
import { pointwiseConvolution } from './pointwise-convolution.ts';
import { generalProduct, matrixProduct } from './products.ts';

const forms: Readonly<Record<string, PlainForm>> = {
  Conv: (site) => pointwiseConvolution(site) || depthwiseConvolution(site),
  MatMul: matrixProduct,
  Gemm: generalProduct,
  LayerNormalization: layerNormalisation,
  RMSNormalization: rmsNormalisation,
  SimplifiedLayerNormalization: rmsNormalisation,
  LpNormalization: lpNormalisation,
  ReduceMean: mean,
};

/** Names of nodes, or all that have a plain form. */
export type Chosen = ReadonlySet<string> | 'all';

export interface Written {
  readonly graph: Graph;
  /** Names of the nodes that were replaced; the new ones are called after them, see `standsFor`. */
  readonly replaced: readonly string[];
}

export function writePlainly(graph: Graph, traces: Traces, chosen: Chosen): Written {
  const draft = draftOf(graph);
  const replaced: string[] = [];
  const known = {
    opset: graph.opsets[''] ?? 0,
    constant: (value = '') => graph.initializers.get(value),
    lengths: (value = '') => traces[0].dims.get(value)?.map((_, axis) => fixedLength(traces, value, axis)),
  };
  for (const node of graph.nodes) {
    const form =
      node.domain === '' && (chosen === 'all' || chosen.has(node.name)) ? forms[node.opType] : undefined;
    if (form?.(siteOf(draft, node, known))) replaced.push(node.name);
    else draft.nodes.push(node);
  }
  if (replaced.length === 0) return { graph, replaced };
  return {
    graph: withoutDeadCode({ ...graph, nodes: draft.nodes, initializers: draft.initializers }),
    replaced,
  };
}
