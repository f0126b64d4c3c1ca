/** Gives each reader of a shared initializer its own copy where they must go different ways; the others go on sharing. */
import type { Graph, GraphNode } from '../graph/graph.ts';
import { draftOf } from '../graph/rewrite.ts';
import type { Use } from './units.ts';

export interface Privatised {
  readonly graph: Graph;
  /** What a use's initializer is called now. */
  nameOf(node: GraphNode, input: number): string;
}

/** @param signature uses of one initializer with equal signatures share it */
export function privatise(graph: Graph, uses: readonly Use[], signature: (use: Use) => string): Privatised {
  const draft = draftOf(graph);
  const copies = new Map<string, Map<string, string>>();
  const names = new Map<GraphNode, Map<number, string>>();
  for (const use of uses) {
    const known = copies.get(use.tensor) ?? new Map<string, string>();
    copies.set(use.tensor, known);
    const own = signature(use);
    let name = known.get(own);
    const tensor = graph.initializers.get(use.tensor);
    if (name === undefined && tensor)
      name = known.size === 0 ? use.tensor : draft.constant(`${use.tensor}_own`, tensor);
    known.set(own, name ?? use.tensor);
    const inputs = names.get(use.node) ?? new Map<number, string>();
    inputs.set(use.input, name ?? use.tensor);
    names.set(use.node, inputs);
  }
  const nodes = graph.nodes.map((node) => {
    const own = names.get(node);
    return own ? { ...node, inputs: node.inputs.map((input, i) => own.get(i) ?? input) } : node;
  });
  return {
    graph: { ...graph, nodes, initializers: draft.initializers },
    nameOf: (node, input) => names.get(node)?.get(input) ?? node.inputs[input] ?? '',
  };
}
