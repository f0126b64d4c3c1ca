/**
 * Takes fused operators apart into plain ONNX nodes: onnxruntime's and ONNX's attentions, rotary embedding, normalisations with a
 * residual, fused products and activations, and Einsum. What follows (pairs, masks, cutting, gradients) then knows plain nodes only,
 * and onnxruntime fuses them again when it loads a level.
 */
import type { Graph, GraphNode } from '../graph.ts';
import { draftOf, withoutDeadCode } from '../rewrite.ts';
import { biasGelu, fastGelu, microsoftGelu, quickGelu } from './activation.ts';
import { einsum } from './einsum.ts';
import { multiHeadAttention, packedAttention } from './fused-attention.ts';
import { gridSample } from './grid-sample.ts';
import { groupQueryAttention } from './grouped-attention.ts';
import { fusedConv, fusedGemm, fusedMatMul } from './linear.ts';
import { nodeBuilder, type Shapes, type Unfold } from './node-builder.ts';
import { embedLayerNorm, skipLayerNorm, skipRmsNorm } from './normalise.ts';
import { onnxAttention } from './onnx-attention.ts';
import { microsoftRotary, onnxRotary } from './rotary.ts';

/** By operator, with the domain in front where it is not ONNX's own. */
export const unfolds: Readonly<Record<string, Unfold>> = {
  Attention: onnxAttention,
  Einsum: einsum,
  GridSample: gridSample,
  RotaryEmbedding: onnxRotary,
  'com.microsoft.Attention': packedAttention,
  'com.microsoft.BiasGelu': biasGelu,
  'com.microsoft.EmbedLayerNormalization': embedLayerNorm,
  'com.microsoft.FastGelu': fastGelu,
  'com.microsoft.FusedConv': fusedConv,
  'com.microsoft.FusedGemm': fusedGemm,
  'com.microsoft.FusedMatMul': fusedMatMul,
  'com.microsoft.Gelu': microsoftGelu,
  'com.microsoft.GroupQueryAttention': groupQueryAttention,
  'com.microsoft.MultiHeadAttention': multiHeadAttention,
  'com.microsoft.QuickGelu': quickGelu,
  'com.microsoft.RotaryEmbedding': microsoftRotary,
  'com.microsoft.SkipLayerNormalization': skipLayerNorm,
  'com.microsoft.SkipSimplifiedLayerNormalization': skipRmsNorm,
};

/** Range is an operator from here on. */
const OLDEST_OPSET = 11;

function unfoldOf({ opType, domain }: GraphNode): Unfold | undefined {
  const key = domain === '' ? opType : `${domain}.${opType}`;
  return Object.hasOwn(unfolds, key) ? unfolds[key] : undefined;
}

/** Is there an entry for this operator? Some of its forms may stay as they are. */
export function canUnfuse(node: GraphNode): boolean {
  return unfoldOf(node) !== undefined;
}

/** Is there anything to take apart? */
export function isFused(graph: Graph): boolean {
  return (graph.opsets[''] ?? 0) >= OLDEST_OPSET && graph.nodes.some((node) => unfoldOf(node) !== undefined);
}

/** @param shapes of the graph's values in runs at different sizes; operators in forms that have no plain one stay */
export function unfuse(graph: Graph, shapes: Shapes): Graph {
  const draft = draftOf(graph);
  for (const node of graph.nodes) {
    const before = draft.nodes.length;
    const made = unfoldOf(node)?.(nodeBuilder(draft, graph, shapes, node));
    const stands = node.outputs.every((output, i) => output === '' || (made?.[i] ?? '') !== '');
    if (!made || !stands) {
      draft.nodes.length = before;
      draft.nodes.push(node);
      continue;
    }
    for (const [i, output] of node.outputs.entries())
      if (output !== '')
        draft.nodes.push({
          name: draft.fresh(`${node.name}_Identity`),
          opType: 'Identity',
          domain: '',
          inputs: [made[i] as string],
          outputs: [output],
          attributes: {},
        });
  }
  return withoutDeadCode({ ...graph, nodes: draft.nodes, initializers: draft.initializers });
}
