/**
 * Gradients that are asked for are written before the backward pass goes on. Nothing reads them, so onnxruntime would compute them
 * last, and keep until then what they are computed from. Each gradient of the residual stream is therefore handed on through a
 * Reshape to its own shape, plus nothing times the size of each result that is due by then: no element is copied or changed.
 */
import type { Graph, GraphNode } from '../graph/graph.ts';
import { draftOf, int64 } from '../graph/rewrite.ts';
import { ancestors, inOrder, makersOf } from './node-order.ts';

export interface Settled {
  readonly graph: Graph;
  /** The gradients of the stream, under the names by which they are handed on. */
  readonly gradients: ReadonlyMap<string, string>;
}

/**
 * @param stream values of the residual stream, in the graph's order
 * @param gradients of the stream's values, as far as there are any
 * @param results values that are asked for
 */
export function settleFirst(
  graph: Graph,
  stream: readonly string[],
  gradients: ReadonlyMap<string, string>,
  results: readonly string[],
): Settled {
  const makers = makersOf(graph.nodes);
  const before = new Map(results.map((name) => [name, ancestors(name, makers)]));
  const draft = draftOf(graph);
  const zero = draft.constant('settled_zero', int64(0));
  const renamed = new Map<string, string>();
  const handedOn = new Map(gradients);
  let open = [...results];
  let later: { readonly value: string; readonly gradient: string } | undefined;
  for (const value of stream.toReversed()) {
    const gradient = gradients.get(value);
    const maker = makers.get(gradient ?? '');
    if (gradient === undefined || maker === undefined) continue;
    // What does not depend on this gradient is due, if it depends on the one before.
    const due = open.filter((name) => !before.get(name)?.has(maker));
    const ready = later === undefined ? [] : due.filter((name) => isBehind(name, later?.gradient ?? ''));
    open = open.filter((name) => !ready.includes(name));
    later = { value, gradient };
    if (ready.length === 0) continue;
    const nothing = ready
      .map((name) => draft.add('Mul', [draft.add('Size', [name], 'settled_size'), zero], 'settled'))
      .reduce((sum, term) => draft.add('Add', [sum, term], 'settled'));
    const shape = draft.add(
      'Add',
      [draft.add('Shape', [gradient], 'settled_shape'), nothing],
      'settled_shape',
    );
    const name = draft.add('Reshape', [gradient, shape], `${gradient}_settled`);
    renamed.set(gradient, name);
    handedOn.set(value, name);
  }
  const own = new Set(draft.nodes);
  const nodes = graph.nodes.map((node): GraphNode => {
    if (!node.inputs.some((input) => renamed.has(input))) return node;
    return { ...node, inputs: node.inputs.map((input) => renamed.get(input) ?? input) };
  });
  const all = inOrder([...nodes, ...own]);
  return { graph: { ...graph, nodes: all, initializers: draft.initializers }, gradients: handedOn };

  function isBehind(name: string, gradient: string): boolean {
    const maker = makers.get(gradient);
    return maker !== undefined && (before.get(name)?.has(maker) ?? false);
  }
}
