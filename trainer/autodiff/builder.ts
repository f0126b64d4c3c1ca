/**
 * Grows a graph by operators and constants, each distinct one once: asking again for the same operator on the same values gives the
 * value that is there. Forward nodes count, so that a backward pass reads what the forward pass has computed.
 */
import { type Attribute, consumers, type Graph, type GraphNode, type Tensor } from '../graph/graph.ts';
import { draftOf, int64, withoutDeadCode } from '../graph/rewrite.ts';
import { type AxisLength, type Facts, factsFor, type ValueFacts } from './facts.ts';
import { inOrder } from './node-order.ts';

export type Attributes = Readonly<Record<string, Attribute>>;

export interface Builder {
  readonly opset: number;
  /** A node of one output; returns the output. */
  add(opType: string, inputs: readonly string[], attributes?: Attributes): string;
  /** The same with several outputs. */
  addMany(opType: string, inputs: readonly string[], count: number, attributes?: Attributes): string[];
  /** The output of such a node of one output, where there is one already. */
  present(opType: string, inputs: readonly string[], attributes?: Attributes): string | undefined;
  /** The node that makes a value, as it was written; undefined for inputs and initializers. */
  maker(value: string): GraphNode | undefined;
  /** Forward nodes that read a forward value. */
  readers(value: string): readonly GraphNode[];
  /** A name that nothing has, for an input. */
  fresh(base: string): string;
  /** The value under a name of its own, as graph outputs must be. */
  output(base: string, value: string): string;
  constant(tensor: Tensor): string;
  scalar(value: number): string;
  /** A vector of int64. */
  integers(values: readonly number[]): string;
  /** The contents of an initializer. */
  content(value: string): Tensor | undefined;
  /** An optional output of a forward node, exposed where the node does not give it yet. */
  extraOutput(node: GraphNode, index: number): string;
  /** From now on a forward node of one output is computed by another operator, from values that may be new. */
  computeAs(node: GraphNode, opType: string, inputs: readonly string[]): void;
  /** Of a forward value. @throws `internal` for others */
  facts(value: string): ValueFacts;
  dims(value: string): readonly AxisLength[];
  /** The graph so far, without what its outputs do not need. */
  graph(outputs: Graph['outputs']): Graph;
}

/** Constants up to this many elements are compared by content; larger ones are never made twice. */
const COMPARED_ELEMENTS = 64;

/** @param forward its nodes are kept as they are */
export function createBuilder(forward: Graph, known: Facts): Builder {
  const draft = draftOf(forward);
  const made = new Map<string, readonly string[]>();
  const constants = new Map<string, string>();
  const makers = new Map<string, GraphNode>();
  const readers = consumers(forward);
  const push = (node: GraphNode) => {
    draft.nodes.push(node);
    for (const output of node.outputs) makers.set(output, node);
  };
  for (const node of forward.nodes) {
    push(node);
    if (node.domain === '') made.set(keyOf(node.opType, node.inputs, node.attributes), node.outputs);
  }
  const addMany: Builder['addMany'] = (opType, inputs, count, attributes = {}) => {
    const key = keyOf(opType, inputs, attributes);
    const present = made.get(key);
    if (present && present.length >= count) return present.slice(0, count);
    const outputs = Array.from({ length: count }, () => draft.fresh(`grad_${opType}`));
    const name = draft.fresh(`grad_node_${opType}`);
    push({ name, opType, domain: '', inputs, outputs, attributes });
    made.set(key, outputs);
    return outputs;
  };
  const constant: Builder['constant'] = (tensor) => {
    if (tensor.data.length > COMPARED_ELEMENTS) return draft.constant('grad_constant', tensor);
    const key = `${tensor.dtype} ${tensor.dims} ${tensor.data}`;
    const name = constants.get(key) ?? draft.constant('grad_constant', tensor);
    constants.set(key, name);
    return name;
  };
  return {
    opset: forward.opsets[''] ?? 0,
    add: (opType, inputs, attributes) => addMany(opType, inputs, 1, attributes)[0] as string,
    addMany,
    present: (opType, inputs, attributes = {}) => made.get(keyOf(opType, inputs, attributes))?.[0],
    maker: (value) => makers.get(value),
    readers: (value) => readers.get(value) ?? [],
    fresh: (base) => draft.fresh(base),
    output: (base, value) => draft.add('Identity', [value], base),
    constant,
    scalar: (value) => constant({ dtype: 'float32', dims: [], data: Float32Array.of(value) }),
    integers: (values) => constant(int64(values)),
    content: (value) => draft.initializers.get(value),
    extraOutput(node, index) {
      const at = draft.nodes.findIndex(({ name }) => name === node.name);
      const current = draft.nodes[at] ?? node;
      const present = current.outputs[index];
      if (present) return present;
      const outputs = Array.from({ length: Math.max(index + 1, current.outputs.length) }, (_, i) =>
        i === index ? draft.fresh(`${node.name}_output${index}`) : (current.outputs[i] ?? ''),
      );
      draft.nodes[at] = { ...current, outputs };
      return outputs[index] as string;
    },
    computeAs(node, opType, inputs) {
      const at = draft.nodes.findIndex(({ name }) => name === node.name);
      draft.nodes[at] = { ...node, opType, domain: '', inputs, attributes: {} };
    },
    facts: (value) => factsFor(known, value),
    dims: (value) => factsFor(known, value).dims,
    graph: (outputs) =>
      withoutDeadCode({
        ...forward,
        outputs,
        nodes: inOrder(draft.nodes),
        initializers: draft.initializers,
      }),
  };
}

function keyOf(opType: string, inputs: readonly string[], attributes: Attributes): string {
  const sorted = Object.keys(attributes)
    .sort()
    .map((name) => [name, attributes[name]]);
  return JSON.stringify([opType, inputs, sorted], (_, value: unknown) =>
    typeof value === 'bigint' ? `${value}n` : ArrayBuffer.isView(value) ? Array.from(value as never) : value,
  );
}
