/**
 * Writes tensors that were made of others as the operators that make them, so that a run computes each just before it is used and
 * lets it go again. A graph that is run once or twice then needs no copy of the weights that were cut, turned or taken apart.
 */
import { originOf, placeOf } from './deferred.ts';
import type { Graph, GraphNode, Tensor } from './graph.ts';
import { draftOf, int64, rename } from './rewrite.ts';

export function expressed(given: Graph): Graph {
  const graph = withoutDoubles(given);
  const made = [...graph.initializers].filter(([, tensor]) => originOf(tensor)?.derivation);
  if (made.length === 0) return graph;
  const draft = draftOf(graph);
  const names = new Map([...graph.initializers].map(([name, tensor]) => [identity(tensor), name]));
  const done = new Set<string>();
  const give = (name: string, tensor: Tensor): void => {
    const origin = originOf(tensor);
    if (!origin?.derivation || done.has(name)) return;
    done.add(name);
    const { from, derivation } = origin;
    const source = names.get(identity(from)) ?? draft.constant(`${name}_source`, from);
    names.set(identity(from), source);
    give(source, from);
    draft.initializers.delete(name);
    const base = { name: draft.fresh(`${name}_made`), domain: '', outputs: [name] } as const;
    draft.nodes.push(
      derivation.kind === 'gather'
        ? {
            ...base,
            opType: 'Gather',
            inputs: [source, draft.constant(`${name}_indices`, int64(derivation.indices))],
            attributes: { axis: { kind: 'int', value: derivation.axis } },
          }
        : {
            ...base,
            opType: 'Transpose',
            inputs: [source],
            attributes: { perm: { kind: 'ints', value: [...derivation.order] } },
          },
    );
  };
  for (const [name, tensor] of made) give(name, tensor);
  const { initializers } = draft;
  // Before all others: onnxruntime takes what has the higher place first, and would make all of them beforehand otherwise.
  const nodes: GraphNode[] = [...draft.nodes, ...graph.nodes];
  return { ...graph, nodes, initializers };
}

/** Tensors of one shape at one place in a file become one: each initializer is mapped by itself. */
function withoutDoubles(graph: Graph): Graph {
  const known = new Map<Tensor | string, string>();
  const names = new Map<string, string>();
  const initializers = new Map<string, Tensor>();
  for (const [name, tensor] of graph.initializers) {
    const key = placeOf(tensor) ? identity(tensor) : name;
    const first = known.get(key);
    known.set(key, first ?? name);
    if (first === undefined) initializers.set(name, tensor);
    else names.set(name, first);
  }
  if (names.size === 0) return graph;
  return { ...graph, initializers, nodes: rename(graph.nodes, names) };
}

/** The same for tensors of one shape at one place; the tensor itself where it lies in no file. */
function identity(tensor: Tensor): Tensor | string {
  const place = placeOf(tensor);
  return place ? JSON.stringify([place.folder, place.file, place.offset, tensor.dtype, tensor.dims]) : tensor;
}
