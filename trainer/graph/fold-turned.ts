/**
 * Weights in files that the graph turns round or renames before it uses them, as exporters write `x @ W.T`: what comes out is another
 * tensor made of the same file, brought when it is asked for.
 */
import { isDeferred } from './deferred.ts';
import { type Graph, type GraphNode, intsAttribute, type Tensor } from './graph.ts';
import { transposeTensor } from './linear.ts';
import { withoutDeadCode } from './rewrite.ts';

export function foldTurnedWeights(graph: Graph): Graph {
  const initializers = new Map(graph.initializers);
  const shown = new Set(graph.outputs.map(({ name }) => name));
  const nodes = graph.nodes.filter((node) => {
    const [output = ''] = node.outputs;
    const made = shown.has(output) ? undefined : turned(node, initializers.get(node.inputs[0] ?? ''));
    if (made) initializers.set(output, made);
    return made === undefined;
  });
  return nodes.length === graph.nodes.length ? graph : withoutDeadCode({ ...graph, nodes, initializers });
}

function turned(node: GraphNode, weight: Tensor | undefined): Tensor | undefined {
  if (weight?.dtype !== 'float32' || !isDeferred(weight) || node.domain !== '') return undefined;
  if (node.opType === 'Identity') return weight;
  if (node.opType !== 'Transpose') return undefined;
  const reversed = weight.dims.map((_, axis) => weight.dims.length - 1 - axis);
  return transposeTensor(weight, intsAttribute(node, 'perm') ?? reversed);
}
