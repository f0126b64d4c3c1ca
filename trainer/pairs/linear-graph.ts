/** A model as a graph of its linear maps alone: what flows from which to which, with everything between them left out. */
import type { Graph } from '../graph/graph.ts';
import type { LinearMap, PreparedModel } from './pair.ts';

export interface LinearNode {
  /** Name of the node in the prepared graph, or of a graph input or output. */
  readonly id: string;
  readonly label: string;
  /** Index of the pair it belongs to. */
  readonly pair?: number;
  /** Why it was left alone, where it was. */
  readonly reason?: string;
}

export interface LinearGraph {
  readonly nodes: readonly LinearNode[];
  readonly edges: readonly (readonly [from: string, to: string])[];
}

type Inspected = Pick<PreparedModel, 'graph' | 'pairs' | 'leftAlone'>;

/** Edges that others imply are left out, so that a residual stream shows as a chain. */
export function linearGraph({ graph, pairs, leftAlone }: Inspected): LinearGraph {
  const nodes: LinearNode[] = [
    ...graph.inputs.map(({ name }) => ({ id: name, label: name })),
    ...pairs.flatMap(({ kind, producers, consumers, name }, pair) => {
      const roles = ROLES[kind];
      return [...producers, ...consumers].map(({ node }: LinearMap, i) => ({
        id: node,
        label: `${name}: ${roles[i] ?? roles.at(-1)}`,
        pair,
      }));
    }),
    ...leftAlone.map(({ name, reason }) => ({ id: name, label: name, reason })),
    ...graph.outputs.map(({ name }) => ({ id: outputId(name), label: name })),
  ];
  return { nodes, edges: withoutImplied(directEdges(graph, new Set(nodes.map(({ id }) => id)))) };
}

const ROLES: Readonly<Record<PreparedModel['pairs'][number]['kind'], readonly string[]>> = {
  'query-key': ['query', 'key', 'positions'],
  'value-projection': ['value', 'projection'],
  sequential: ['first', 'second'],
  gated: ['gate', 'up', 'down'],
};

function outputId(name: string): string {
  return `output ${name}`;
}

/** From the linears that each value was last made by, through everything that is none. */
function directEdges(graph: Graph, drawn: ReadonlySet<string>): Map<string, Set<string>> {
  const behind = new Map<string, ReadonlySet<string>>(
    graph.inputs.map(({ name }) => [name, new Set([name])]),
  );
  const edges = new Map<string, Set<string>>();
  const connect = (from: string, to: string) => edges.set(from, (edges.get(from) ?? new Set()).add(to));
  for (const { name, inputs, outputs } of graph.nodes) {
    const sources = new Set(inputs.flatMap((input) => [...(behind.get(input) ?? [])]));
    if (drawn.has(name)) for (const source of sources) connect(source, name);
    const own = drawn.has(name) ? new Set([name]) : sources;
    for (const output of outputs) behind.set(output, own);
  }
  for (const { name } of graph.outputs)
    for (const source of behind.get(name) ?? []) connect(source, outputId(name));
  return edges;
}

/** An edge goes where a longer way leads to the same place. The graph has no cycles. */
function withoutImplied(edges: ReadonlyMap<string, ReadonlySet<string>>): (readonly [string, string])[] {
  const reached = new Map<string, ReadonlySet<string>>();
  const reach = (from: string): ReadonlySet<string> => {
    const known = reached.get(from);
    if (known) return known;
    const next = edges.get(from) ?? new Set<string>();
    const all = new Set([...next].flatMap((to) => [to, ...reach(to)]));
    reached.set(from, all);
    return all;
  };
  return [...edges].flatMap(([from, to]) =>
    [...to]
      .filter((target) => ![...to].some((other) => other !== target && reach(other).has(target)))
      .map((target) => [from, target] as const),
  );
}
