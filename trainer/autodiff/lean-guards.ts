/**
 * A softmax whose rows may have nothing to attend to is written with a guard, NaN becomes 0: two nodes that pass over all scores, and
 * slowly. No share is below 0, so one node says the same.
 */
import { elementCount, type Graph, type GraphNode } from '../graph/graph.ts';
import { withoutDeadCode } from '../graph/rewrite.ts';
import { float } from './expressions.ts';

/** @returns the same function; the graph itself where it has no such guard */
export function leanGuards(graph: Graph): Graph {
  const makers = new Map(
    graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)),
  );
  const isZero = (name: string) => {
    const tensor = graph.initializers.get(name);
    // More axes than the shares have would give the answer more of them.
    const isSingle =
      tensor?.dtype === 'float32' && tensor.dims.length <= 1 && elementCount(tensor.dims) === 1;
    return isSingle && tensor.data[0] === 0;
  };
  const isGuard = ({ opType, domain, inputs: [question = '', zero = '', shares = ''] }: GraphNode) => {
    const asked = makers.get(question);
    return (
      opType === 'Where' &&
      domain === '' &&
      asked?.opType === 'IsNaN' &&
      asked.inputs[0] === shares &&
      makers.get(shares)?.opType === 'Softmax' &&
      isZero(zero)
    );
  };
  if (!graph.nodes.some(isGuard)) return graph;
  const attributes = { alpha: float(-1) };
  return withoutDeadCode({
    ...graph,
    nodes: graph.nodes.map((node) =>
      isGuard(node)
        ? { ...node, opType: 'ThresholdedRelu', inputs: [node.inputs[2] as string], attributes }
        : node,
    ),
  });
}
