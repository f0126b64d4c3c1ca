/**
 * Lets what is read of a shape by way of several picks be read by one: onnxruntime's optimiser, which moves transposes, permutes a
 * whole shape before one entry of it is taken, and every length would seem to be read.
 */
import { type Graph, type GraphNode, intAttribute } from './graph.ts';
import { draftOf, int64, integers, withoutDeadCode } from './rewrite.ts';

/** Which axes of a shape a value holds the lengths of. */
interface Entries {
  /** The Shape's output. */
  readonly shape: string;
  /** Of that vector. */
  readonly places: readonly number[];
  readonly isScalar: boolean;
  readonly isWhole: boolean;
}

export function readShapesDirectly(graph: Graph, rankOf: (value: string) => number | undefined): Graph {
  const known = new Map<string, Entries>();
  const draft = draftOf(graph);
  let changed = false;
  for (const node of graph.nodes) {
    const [input = ''] = node.inputs;
    const [output = ''] = node.outputs;
    const count = node.opType === 'Shape' && node.domain === '' ? rankOf(output) : undefined;
    const from = known.get(input);
    const found = count === undefined ? from && picked(graph, node, from) : whole(output, count);
    if (found) known.set(output, found);
    if (!found || !from || from.isWhole) {
      draft.nodes.push(node);
      continue;
    }
    changed = true;
    const [only = 0] = found.places;
    const places = draft.constant(`${node.name}_places`, int64(found.isScalar ? only : found.places));
    draft.nodes.push({
      ...node,
      opType: 'Gather',
      inputs: [found.shape, places],
      attributes: { axis: { kind: 'int', value: 0 } },
    });
  }
  if (!changed) return graph;
  return withoutDeadCode({ ...graph, nodes: draft.nodes, initializers: draft.initializers });
}

/** @param count entries of the vector that Shape gives */
function whole(shape: string, count: number): Entries {
  const places = Array.from({ length: count }, (_, place) => place);
  return { shape, places, isScalar: false, isWhole: true };
}

function picked({ initializers }: Graph, node: GraphNode, from: Entries): Entries | undefined {
  if (node.domain !== '' || from.isScalar) return undefined;
  const constant = (input: number) => integers(initializers.get(node.inputs[input] ?? ''));
  const taken = (places: readonly (number | undefined)[], isScalar: boolean): Entries | undefined =>
    places.includes(undefined)
      ? undefined
      : { shape: from.shape, places: places as number[], isScalar, isWhole: false };
  const first = constant(1);
  if (first === undefined) return undefined;
  if (node.opType === 'Gather' && intAttribute(node, 'axis', 0) === 0) {
    const rank = initializers.get(node.inputs[1] ?? '')?.dims.length ?? 2;
    return rank > 1
      ? undefined
      : taken(
          first.map((place) => from.places.at(place)),
          rank === 0,
        );
  }
  const [end] = constant(2) ?? [];
  const [step = 1] = node.inputs[4] ? (constant(4) ?? [0]) : [];
  if (node.opType !== 'Slice' || end === undefined || step !== 1) return undefined;
  return taken(from.places.slice(first[0] ?? 0, end), false);
}
