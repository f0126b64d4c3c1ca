/**
 * Models of opset 11 and 12 written at 13: from there on gradients for onnxruntime are known, which are many times faster than others.
 * Between the two, only few operators are written otherwise: they take axes or sizes as an input, or mean another axis.
 */
import { type Graph, type GraphNode, intAttribute, intsAttribute, stringAttribute } from './graph.ts';
import { type Draft, draftOf, int64 } from './rewrite.ts';
import type { Traces } from './traces.ts';

const RAISED = [11, 12];
const TO = 13;

/** How a node is written at 13; undefined where it cannot be. */
type Raise = (node: GraphNode, draft: Draft, traces: Traces) => GraphNode | undefined;

const raises: Readonly<Record<string, Raise>> = {
  Squeeze: (node, draft) => withInput(node, draft, 'axes'),
  Unsqueeze: (node, draft) => withInput(node, draft, 'axes'),
  ReduceSum: (node, draft) => withInput(node, draft, 'axes'),
  Split: (node, draft) => withInput(node, draft, 'split'),
  Softmax: alongLast,
  LogSoftmax: alongLast,
  Hardmax: alongLast,
  // Its ratio is an input from 12 on, and nothing to a model that is not trained.
  Dropout: (node) => ({ ...node, attributes: {} }),
  Resize: (node) =>
    stringAttribute(node, 'coordinate_transformation_mode', '') === 'tf_half_pixel_for_nn' ? undefined : node,
};

/** @returns the same values under the same names; the graph itself where its opset is another one, or something in it cannot be raised */
export function raiseOpset(graph: Graph, traces: Traces): Graph {
  if (!RAISED.includes(graph.opsets[''] ?? 0)) return graph;
  const draft = draftOf(graph);
  for (const node of graph.nodes) {
    const hasBranches = Object.values(node.attributes).some(({ kind }) => kind === 'branch');
    const raise = node.domain === '' ? raises[node.opType] : undefined;
    const raised = raise ? raise(node, draft, traces) : node;
    if (hasBranches || raised === undefined) return graph;
    draft.nodes.push(raised);
  }
  return {
    ...graph,
    opsets: { ...graph.opsets, '': TO },
    nodes: draft.nodes,
    initializers: draft.initializers,
  };
}

/** The numbers of an attribute as the node's second input. */
function withInput(node: GraphNode, draft: Draft, name: string): GraphNode {
  const { [name]: _, ...attributes } = node.attributes;
  const values = intsAttribute(node, name);
  const inputs = values
    ? [...node.inputs, draft.constant(`${node.name}_${name}`, int64(values))]
    : node.inputs;
  return { ...node, inputs, attributes };
}

/** Before 13 all axes from the named one on were taken together, the second one by default. */
function alongLast(node: GraphNode, _: Draft, [{ dims }]: Traces): GraphNode | undefined {
  const rank = dims.get(node.inputs[0] ?? '')?.length;
  const axis = intAttribute(node, 'axis', 1);
  if (rank === undefined || (axis < 0 ? axis + rank : axis) !== rank - 1) return undefined;
  return { ...node, attributes: { ...node.attributes, axis: { kind: 'int', value: -1 } } };
}
