/** FLOPs of products and convolutions, one multiply-add counted as two. */
import { type Graph, type GraphNode, intAttribute, stringAttribute } from '../graph/graph.ts';
import { isTap } from '../graph/plain/depthwise-convolution.ts';
import type { Trace } from '../graph/traces.ts';

type Count = (node: GraphNode, dims: (value: string | undefined) => readonly number[]) => number;

const counts: Readonly<Record<string, Count>> = {
  MatMul: (node, dims) => 2 * product(dims(node.outputs[0])) * (dims(node.inputs[0]).at(-1) ?? 0),
  Gemm: (node, dims) =>
    2 * product(dims(node.outputs[0])) * (dims(node.inputs[0])[intAttribute(node, 'transA', 0) ? 0 : 1] ?? 0),
  Conv: (node, dims) => 2 * product(dims(node.outputs[0])) * product(dims(node.inputs[1]).slice(1)),
  // Each element of the input meets a whole filter [C, O / groups, ...] but for its own channel.
  ConvTranspose: (node, dims) => 2 * product(dims(node.inputs[0])) * product(dims(node.inputs[1]).slice(1)),
  Einsum: (node, dims) => {
    const [terms = ''] = stringAttribute(node, 'equation', '').replaceAll(' ', '').split('->');
    const lengths = new Map<string, number>();
    for (const [i, term] of terms.split(',').entries())
      for (const [axis, letter] of [...term].entries()) lengths.set(letter, dims(node.inputs[i])[axis] ?? 1);
    return 2 * product([...lengths.values()]);
  },
};

/** By node; nodes without products have none. */
export function flopsByNode(graph: Graph, trace: Trace): Map<GraphNode, number> {
  const dims = (value: string | undefined) => trace.dims.get(value ?? '') ?? [];
  const sliced = new Set(graph.nodes.flatMap(({ opType, outputs }) => (opType === 'Slice' ? outputs : [])));
  const isPart = (value: string) => sliced.has(value);
  const constantDims = (value: string) => graph.initializers.get(value)?.dims;
  const tap: Count = (node) => 2 * product(dims(node.outputs[0]));
  return new Map(
    graph.nodes.flatMap((node) => {
      const count = counts[node.opType] ?? (isTap(node, constantDims, isPart) ? tap : undefined);
      return count ? [[node, count(node, dims)] as const] : [];
    }),
  );
}

function product(lengths: readonly number[]): number {
  return lengths.reduce((a, b) => a * b, 1);
}
