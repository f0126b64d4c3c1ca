/**
 * A graph in pieces, cut at the matrices that are refitted one after the other. Refitting one changes what stands behind it and
 * nothing before, so what no later change reaches is computed once and handed on from piece to piece.
 */
import type { Graph, GraphNode } from '../graph/graph.ts';
import type { LinearMap } from '../pairs/pair.ts';
import type { TokenRows } from '../statistics/token-rows.ts';

export interface RefitPlace {
  readonly consumer: LinearMap;
  /** What stands behind it. */
  readonly stream: string;
  /** Where its rows are tokens, if some are padding. */
  readonly tokens?: TokenRows;
}

export interface RefitSegment {
  /** In graph order: they give the consumer's input and the stream. */
  readonly nodes: readonly GraphNode[];
  /** Values that earlier pieces left, and the graph's inputs. */
  readonly takes: readonly string[];
  /** Values that later pieces take. */
  readonly leaves: readonly string[];
}

/**
 * @param places in the order in which the model computes them
 * @param notHandedOn values that cannot travel between pieces: they are computed anew
 */
export function refitSegments(
  graph: Graph,
  places: readonly RefitPlace[],
  notHandedOn: ReadonlySet<string> = new Set(),
): RefitSegment[] {
  const finished = new Set<GraphNode>();
  const pieces = places.map(({ consumer, stream, tokens }) => {
    const changing = behind(graph.nodes, consumer);
    const nodes = leadingTo(graph.nodes, [consumer.input, stream], finished);
    const lasting = nodes.filter(
      (node) => !changing.has(node) && !node.outputs.some((output) => notHandedOn.has(output)),
    );
    for (const node of lasting) finished.add(node);
    const wanted = [consumer.input, stream, ...(tokens === undefined ? [] : [tokens.mask])];
    return { nodes, lasting, reads: [...nodes.flatMap(({ inputs }) => inputs), ...wanted] };
  });
  return pieces.map(({ nodes, lasting, reads }, piece) => {
    const made = new Set(nodes.flatMap(({ outputs }) => outputs));
    const outside = (name: string) => name !== '' && !made.has(name) && !graph.initializers.has(name);
    const readLater = new Set(pieces.slice(piece + 1).flatMap((later) => later.reads));
    return {
      nodes,
      takes: [...new Set(reads.filter(outside))],
      leaves: lasting.flatMap(({ outputs }) => outputs).filter((name) => readLater.has(name)),
    };
  });
}

/** What a change of the map's matrix or bias reaches, whoever else reads them. */
function behind(nodes: readonly GraphNode[], { node: name, weight, bias }: LinearMap): Set<GraphNode> {
  const changed = new Set([weight.tensor, ...(bias ? [bias.tensor] : [])]);
  const reached = new Set<GraphNode>();
  for (const node of nodes) {
    if (node.name !== name && !node.inputs.some((input) => changed.has(input))) continue;
    reached.add(node);
    for (const output of node.outputs) changed.add(output);
  }
  return reached;
}

/** The nodes that the wanted values need, but for those that are finished. */
function leadingTo(
  nodes: readonly GraphNode[],
  wanted: readonly string[],
  finished: ReadonlySet<GraphNode>,
): GraphNode[] {
  const needed = new Set(wanted);
  return nodes
    .toReversed()
    .filter((node) => {
      const reads = !finished.has(node) && node.outputs.some((output) => needed.has(output));
      if (reads) for (const input of node.inputs) needed.add(input);
      return reads;
    })
    .reverse();
}
