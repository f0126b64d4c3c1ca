/** What of a graph comes before what. */
import type { GraphNode } from '../graph/graph.ts';

export type Makers = ReadonlyMap<string, GraphNode>;

/** The node that makes each value. */
export function makersOf(nodes: readonly GraphNode[]): Makers {
  return new Map(
    nodes.flatMap((node) => node.outputs.filter(Boolean).map((output) => [output, node] as const)),
  );
}

/** All nodes that a value is computed by. */
export function ancestors(value: string, makers: Makers): Set<GraphNode> {
  const found = new Set<GraphNode>();
  const open = [value];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const maker = makers.get(name);
    if (maker === undefined || found.has(maker)) continue;
    found.add(maker);
    open.push(...maker.inputs);
  }
  return found;
}

/** Nodes behind those that they read from; otherwise as they stand. */
export function inOrder(nodes: readonly GraphNode[]): GraphNode[] {
  const makers = makersOf(nodes);
  const placed = new Set<GraphNode>();
  const ordered: GraphNode[] = [];
  const place = (node: GraphNode) => {
    if (placed.has(node)) return;
    placed.add(node);
    for (const input of node.inputs) {
      const maker = makers.get(input);
      if (maker) place(maker);
    }
    ordered.push(node);
  };
  for (const node of nodes) place(node);
  return ordered;
}
