/** The same answers for less: forward passes over many examples leave out the rows that nothing reads. */
import type { Graph } from '../graph/graph.ts';
import { traceGraph } from '../graph/trace.ts';
import { factsOf } from './facts.ts';
import { narrowRows } from './narrow-rows.ts';

/** From here on operators say their axes in the way that narrowing reads them. */
const OLDEST_OPSET = 13;

/** @returns the same function of the same inputs; the graph itself where its opset is older */
export async function leanForward(graph: Graph): Promise<Graph> {
  if ((graph.opsets[''] ?? 0) < OLDEST_OPSET) return graph;
  const { traces } = await traceGraph(graph, 'the model', () => false);
  return narrowRows(graph, factsOf(traces)).graph;
}
