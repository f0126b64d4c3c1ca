/** What the branches of an If read and make: their names among those of the graph around them. */
import type { Branch, GraphNode } from './graph.ts';

/** The branches that a node may run. */
export function branchesOf({ attributes }: GraphNode): Branch[] {
  return Object.values(attributes).flatMap((attribute) =>
    attribute.kind === 'branch' ? [attribute.value] : [],
  );
}

/** Every value that a node reads: its inputs, and what its branches take from around it. '' marks absent inputs. */
export function readsOf(node: GraphNode): readonly string[] {
  const branches = branchesOf(node);
  return branches.length === 0 ? node.inputs : [...node.inputs, ...branches.flatMap(captured)];
}

function captured({ nodes, initializers, outputs }: Branch): string[] {
  const own = new Set<string>(initializers.keys());
  for (const node of nodes) for (const output of node.outputs) own.add(output);
  return [...nodes.flatMap(readsOf), ...outputs].filter((name) => !own.has(name));
}

/** The node with what it reads called otherwise, in its branches too. */
export function renameReads(node: GraphNode, called: (name: string) => string): GraphNode {
  const attributes = Object.entries(node.attributes).map(([name, attribute]) => [
    name,
    attribute.kind === 'branch'
      ? { ...attribute, value: renameCaptured(attribute.value, called) }
      : attribute,
  ]);
  return { ...node, inputs: node.inputs.map(called), attributes: Object.fromEntries(attributes) };
}

function renameCaptured(branch: Branch, called: (name: string) => string): Branch {
  const taken = new Set(captured(branch));
  const inside = (name: string) => (taken.has(name) ? called(name) : name);
  return {
    ...branch,
    nodes: branch.nodes.map((node) => renameReads(node, inside)),
    outputs: branch.outputs.map(inside),
  };
}
