/**
 * The trainer's own, plain form of an ONNX graph: what protobuf says, without protobuf.
 * Values are immutable by convention: passes return new graphs and share what they leave alone.
 */

/** Element types that survive reading; float16 and bfloat16 weights are widened to float32 on the way in. */
export type TensorData = Float32Array | Float64Array | BigInt64Array | Int32Array | Uint8Array;

export interface Tensor {
  readonly dtype: Dtype;
  readonly dims: readonly number[];
  /** Row-major. `bool` is a Uint8Array of 0 and 1. */
  readonly data: TensorData;
}

export type Dtype = 'float32' | 'float64' | 'int64' | 'int32' | 'uint8' | 'bool';

export type PlainAttribute =
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'ints'; readonly value: readonly number[] }
  | { readonly kind: 'floats'; readonly value: readonly number[] }
  | { readonly kind: 'strings'; readonly value: readonly string[] }
  | { readonly kind: 'tensor'; readonly value: Tensor };

/** What an If may run. It takes no inputs, and reads values of the graph around it by their names. */
export interface Branch {
  readonly initializers: ReadonlyMap<string, Tensor>;
  readonly nodes: readonly GraphNode[];
  readonly outputs: readonly string[];
}

export type Attribute = PlainAttribute | { readonly kind: 'branch'; readonly value: Branch };

export interface GraphNode {
  /** Unique in the graph; made from the op type where the file has none. */
  readonly name: string;
  readonly opType: string;
  /** '' is the ONNX domain. */
  readonly domain: string;
  /** '' marks an optional input that is absent. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export interface ValueInfo {
  readonly name: string;
  readonly dtype: Dtype;
  /** A number, or the name of a dimension that the caller chooses. */
  readonly dims: readonly (number | string)[];
}

export interface Graph {
  readonly name: string;
  readonly irVersion: number;
  /** Version by domain; '' is the ONNX domain. */
  readonly opsets: Readonly<Record<string, number>>;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly initializers: ReadonlyMap<string, Tensor>;
  /** In an order in which every node stands after those it reads from. */
  readonly nodes: readonly GraphNode[];
}

/** Number of elements of a shape. */
export function elementCount(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}

/** The node that makes each value. */
export function producers(graph: Graph): Map<string, GraphNode> {
  const map = new Map<string, GraphNode>();
  for (const node of graph.nodes) for (const output of node.outputs) if (output !== '') map.set(output, node);
  return map;
}

/** The nodes that read each value, in graph order, once per reading input. */
export function consumers(graph: Graph): Map<string, GraphNode[]> {
  const map = new Map<string, GraphNode[]>();
  for (const node of graph.nodes) {
    for (const input of node.inputs) {
      if (input === '') continue;
      const readers = map.get(input);
      if (readers) readers.push(node);
      else map.set(input, [node]);
    }
  }
  return map;
}

/** Attribute readers: the spec's default where absent; the kind was checked when the file was read. */
export function intAttribute(node: GraphNode, name: string, fallback: number): number {
  const attribute = node.attributes[name];
  return attribute?.kind === 'int' ? attribute.value : fallback;
}

export function floatAttribute(node: GraphNode, name: string, fallback: number): number {
  const attribute = node.attributes[name];
  return attribute?.kind === 'float' ? attribute.value : fallback;
}

export function stringAttribute(node: GraphNode, name: string, fallback: string): string {
  const attribute = node.attributes[name];
  return attribute?.kind === 'string' ? attribute.value : fallback;
}

export function intsAttribute(node: GraphNode, name: string): readonly number[] | undefined {
  const attribute = node.attributes[name];
  return attribute?.kind === 'ints' ? attribute.value : undefined;
}
