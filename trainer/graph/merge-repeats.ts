/**
 * Nodes that do the same with the same values become one. Operators that are taken apart one by one repeat what they share (the
 * tables of rotary positions), and pair finding gives a table that several layers read to each of them by its name.
 */
import { DRAWS_RANDOMLY } from './fold.ts';
import { elementCount, type Graph, type GraphNode, type Tensor } from './graph.ts';
import { rename, withoutDeadCode } from './rewrite.ts';

/** Constants up to this many elements are compared by content: bounds, axes, shapes, factors. */
const SMALL = 16;

export function mergeRepeats(graph: Graph): Graph {
  const shown = new Set(graph.outputs.map(({ name }) => name));
  const stands = new Map<string, string>();
  const first = new Map<string, GraphNode>();
  const nameOf = (value: string) => {
    const tensor = graph.initializers.get(value);
    return tensor && elementCount(tensor.dims) <= SMALL ? contentOf(tensor) : (stands.get(value) ?? value);
  };
  const nodes = graph.nodes.filter((node) => {
    if (DRAWS_RANDOMLY.test(node.opType) || node.outputs.some((output) => shown.has(output))) return true;
    const { opType, domain, attributes } = node;
    const key = JSON.stringify([
      domain,
      opType,
      node.outputs.length,
      node.inputs.map(nameOf),
      plain(attributes),
    ]);
    const known = first.get(key);
    if (!known) {
      first.set(key, node);
      return true;
    }
    for (const [i, output] of node.outputs.entries()) stands.set(output, known.outputs[i] as string);
    return false;
  });
  if (nodes.length === graph.nodes.length) return graph;
  return withoutDeadCode({ ...graph, nodes: rename(nodes, stands) });
}

function contentOf({ dtype, dims, data }: Tensor): string {
  return `${dtype} [${dims}] ${Array.from(data as Float32Array, String)}`;
}

/** In the order of their names; tensors by content. */
function plain(attributes: GraphNode['attributes']): unknown[] {
  return Object.entries(attributes)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, attribute]) => [name, attribute.kind === 'tensor' ? contentOf(attribute.value) : attribute]);
}
