/**
 * x s(x), with s the logistic function, as one node where it is written as two: its rule needs fewer passes than theirs, and computes
 * s again instead of keeping it.
 */
import { consumers, type Graph, type GraphNode } from '../graph/graph.ts';
import { float } from './expressions.ts';

/** @returns the same function; a logistic that something else reads stays */
export function fuseSilu(graph: Graph): Graph {
  const readers = consumers(graph);
  const shown = new Set(graph.outputs.map(({ name }) => name));
  const logistic = new Map(
    graph.nodes.flatMap(({ opType, domain, inputs, outputs }): [string, string][] => {
      const [s = ''] = outputs;
      const alone = readers.get(s)?.length === 1 && !shown.has(s);
      return opType === 'Sigmoid' && domain === '' && alone ? [[s, inputs[0] ?? '']] : [];
    }),
  );
  const fused = (node: GraphNode): GraphNode => {
    if (node.opType !== 'Mul' || node.domain !== '') return node;
    const [a = '', b = ''] = node.inputs;
    const x = logistic.get(a) === b ? b : logistic.get(b) === a ? a : undefined;
    if (x === undefined) return node;
    return { ...node, opType: 'QuickGelu', domain: MICROSOFT, inputs: [x], attributes: { alpha: float(1) } };
  };
  const nodes = graph.nodes.map(fused);
  const changed = nodes.some((node, i) => node !== graph.nodes[i]);
  if (!changed) return graph;
  return { ...graph, opsets: { ...graph.opsets, [MICROSOFT]: graph.opsets[MICROSOFT] ?? 1 }, nodes };
}

const MICROSOFT = 'com.microsoft';
