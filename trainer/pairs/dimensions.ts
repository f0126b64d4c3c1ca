/** Follows every axis of a graph from its inputs to its outputs. */
import type { Graph } from '../graph/graph.ts';
import type { Traces } from '../graph/traces.ts';
import { applyRule } from './dimension-rules.ts';
import { Flow } from './flow.ts';

/** Follows every axis of every value through the graph. @param traces at several sizes, which tell free lengths from fixed ones */
export function followDimensions(graph: Graph, traces: Traces): Flow {
  const flow = new Flow(graph, traces);
  for (const { name } of graph.inputs) flow.set(name, flow.unknown(name, `comes from the input ${name}`));
  for (const node of graph.nodes) applyRule(flow, node);
  for (const { name } of graph.outputs)
    for (const axis of flow.axesOf(name)) flow.atoms.pin(axis, `reaches the output ${name}`);
  return flow;
}
