/** Turns whatever no input's contents can change, and was the same at every traced size, into initializers. */
import { readsOf } from './branch.ts';
import type { Graph, GraphNode, Tensor } from './graph.ts';
import { withoutDeadCode } from './rewrite.ts';
import type { Traces } from './traces.ts';

/** Operators whose result depends on shapes alone. */
const READS_SHAPE = new Set(['Shape', 'Size']);
/** Operators that draw anew at each run. */
export const DRAWS_RANDOMLY = /^(Random(Normal|Uniform)(Like)?|Multinomial|Bernoulli)$/;

/** Values that depend on no input's contents: constants, and what is computed from shapes. */
export function shapeOnlyValues(graph: Pick<Graph, 'nodes' | 'initializers'>): Set<string> {
  const free = new Set<string>(graph.initializers.keys());
  free.add('');
  for (const node of graph.nodes) {
    const fixed = READS_SHAPE.has(node.opType) || readsOf(node).every((input) => free.has(input));
    if (fixed && node.opType !== 'Dropout' && !DRAWS_RANDOMLY.test(node.opType))
      for (const output of node.outputs) free.add(output);
  }
  return free;
}

/** @param traces that kept the contents of `shapeOnlyValues` */
export function foldConstants(graph: Graph, traces: Traces): Graph {
  const [first, ...others] = traces;
  const initializers = new Map(graph.initializers);
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const nodes: GraphNode[] = [];
  for (const node of graph.nodes) {
    const constants = node.outputs.flatMap((name) => {
      const tensor = first.kept.get(name);
      const same = tensor && others.every(({ kept }) => sameTensor(tensor, kept.get(name)));
      return same && !outputs.has(name) ? [[name, tensor] as const] : [];
    });
    if (constants.length < node.outputs.filter((name) => name !== '').length) nodes.push(node);
    else for (const [name, tensor] of constants) initializers.set(name, tensor);
  }
  return withoutDeadCode({ ...graph, nodes, initializers });
}

function sameTensor(a: Tensor, b: Tensor | undefined): boolean {
  if (b === undefined || a.dtype !== b.dtype || a.data.length !== b.data.length) return false;
  if (a.dims.length !== b.dims.length || a.dims.some((dim, axis) => dim !== b.dims[axis])) return false;
  return a.data.every((value, i) => Object.is(value, b.data[i]));
}
