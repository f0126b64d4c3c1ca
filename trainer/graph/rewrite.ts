/** What passes over a graph share: fresh names, small constants, and throwing away what nothing reads. */
import { readsOf, renameReads } from './branch.ts';
import type { Attribute, Graph, GraphNode, Tensor } from './graph.ts';

/** A graph being rebuilt node by node. */
export interface Draft {
  readonly nodes: GraphNode[];
  readonly initializers: Map<string, Tensor>;
  /** A name that neither a value nor a node of the graph has. */
  fresh(base: string): string;
  /** Adds a node of the ONNX domain with one output; returns the output. */
  add(
    opType: string,
    inputs: readonly string[],
    name: string,
    attributes?: Readonly<Record<string, Attribute>>,
  ): string;
  /** Adds an initializer of this content; returns its name. */
  constant(name: string, tensor: Tensor): string;
}

export function draftOf(graph: Graph): Draft {
  const taken = new Set<string>(graph.initializers.keys());
  for (const { name } of graph.inputs) taken.add(name);
  for (const node of graph.nodes) for (const name of [node.name, ...node.outputs]) taken.add(name);
  const nodes: GraphNode[] = [];
  const initializers = new Map(graph.initializers);
  const fresh = (base: string) => {
    let name = base;
    for (let suffix = 2; taken.has(name); suffix++) name = `${base}_${suffix}`;
    taken.add(name);
    return name;
  };
  return {
    nodes,
    initializers,
    fresh,
    add(opType, inputs, base, attributes = {}) {
      const name = fresh(base);
      nodes.push({ name, opType, domain: '', inputs, outputs: [name], attributes });
      return name;
    },
    constant(base, tensor) {
      const name = fresh(base);
      initializers.set(name, tensor);
      return name;
    },
  };
}

/** A vector of int64, or a scalar where a number is given. */
export function int64(values: number | readonly number[]): Tensor {
  return typeof values === 'number'
    ? { dtype: 'int64', dims: [], data: BigInt64Array.of(saturated(values)) }
    : { dtype: 'int64', dims: [values.length], data: BigInt64Array.from(values, saturated) };
}

/** The largest int64, which exporters write for "to the end", is rounded up as a number and would wrap around. */
function saturated(value: number): bigint {
  if (value >= 2 ** 63) return 2n ** 63n - 1n;
  return value < -(2 ** 63) ? -(2n ** 63n) : BigInt(value);
}

/** An integer tensor's contents as numbers; undefined for other types. int64 extremes lose digits but keep their sign. */
export function integers(tensor: Tensor | undefined): number[] | undefined {
  if (tensor?.dtype !== 'int64' && tensor?.dtype !== 'int32') return undefined;
  return Array.from(tensor.data, Number);
}

/** An entry of a shape: known, or to be read from a vector at this index. */
export type ShapeEntry = number | readonly [vector: string, index: number];

/** A shape of its own: one constant, or constants joined with the entries that are read. Returns its name. */
export function shapeVector(draft: Draft, name: string, entries: readonly ShapeEntry[]): string {
  const parts: string[] = [];
  let run: number[] = [];
  const flush = (base: string) => {
    if (run.length > 0) parts.push(draft.constant(base, int64(run)));
    run = [];
  };
  for (const entry of entries) {
    if (typeof entry === 'number') {
      run.push(entry);
      continue;
    }
    flush(`${name}_part`);
    const [vector, index] = entry;
    const at = draft.constant(`${name}_index`, int64([index]));
    parts.push(draft.add('Gather', [vector, at], `${name}_free`, { axis: { kind: 'int', value: 0 } }));
  }
  flush(parts.length === 0 ? name : `${name}_part`);
  const [only = '', ...more] = parts;
  return more.length === 0 ? only : draft.add('Concat', parts, name, { axis: { kind: 'int', value: 0 } });
}

/** Reads renamed values by their new names, in nodes; graph outputs keep their names. */
export function rename(nodes: readonly GraphNode[], names: ReadonlyMap<string, string>): GraphNode[] {
  const current = (name: string): string => {
    const next = names.get(name);
    return next === undefined ? name : current(next);
  };
  return nodes.map((node) =>
    readsOf(node).some((input) => names.has(input)) ? renameReads(node, current) : node,
  );
}

/** The graph without the nodes and initializers that no output needs. */
export function withoutDeadCode(graph: Graph): Graph {
  const needed = new Set(graph.outputs.map(({ name }) => name));
  const nodes: GraphNode[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((output) => needed.has(output))) continue;
    for (const input of readsOf(node)) needed.add(input);
    nodes.push(node);
  }
  const initializers = new Map([...graph.initializers].filter(([name]) => needed.has(name)));
  return { ...graph, nodes: nodes.reverse(), initializers };
}
