/** How long a text a model takes, where neither the command nor its inputs say so. */
import { POSITIONS } from '../data/bind-dataset.ts';
import type { Graph } from '../graph/graph.ts';
import { fittingLength } from '../runtime/fitting-length.ts';
import { tableSizes } from '../runtime/sample-inputs.ts';

/** At most `most`. Positions that are an input of their own reach as far as their table: tried lengths draw them within it. */
export async function textLength(graph: Graph, most: number): Promise<number> {
  const places = [...tableSizes(graph)].filter(([input]) => POSITIONS.test(input)).map(([, size]) => size);
  return fittingLength(graph, Math.min(most, ...places));
}
