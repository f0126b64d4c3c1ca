/** The same answers for less: forward passes over many examples leave out the rows that nothing reads, and guards take one pass. */
import type { Graph } from '../graph/graph.ts';
import { traceGraph } from '../graph/trace.ts';
import { factsOf } from './facts.ts';
import { leanGuards } from './lean-guards.ts';
import { narrowRows } from './narrow-rows.ts';

/** From here on operators say their axes in the way that narrowing reads them. */
const OLDEST_OPSET = 13;

/** @returns the same function of the same inputs; the graph itself where its opset is older, or where it runs at none of the sizes that are tried */
export async function leanForward(graph: Graph): Promise<Graph> {
  if ((graph.opsets[''] ?? 0) < OLDEST_OPSET) return graph;
  // It may still run at the data's own sizes, and what is left out is only time.
  const traced = await traceGraph(graph, 'the model', () => false).catch(() => undefined);
  return leanGuards(traced === undefined ? graph : narrowRows(graph, factsOf(traced.traces)).graph);
}
