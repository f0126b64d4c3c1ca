/** Values whose rows an input's contents choose: an expert's tokens. A level may choose others than the dense model. */
import type { Graph } from '../graph/graph.ts';

/** Their outputs are as long as the contents say. */
const CHOOSING = new Set(['NonZero', 'Compress', 'Unique', 'NonMaxSuppression']);
/** Written into their first input, chosen rows have their places again. */
const PLACING = new Set(['ScatterND', 'ScatterElements', 'Scatter']);

/** Names of the values whose rows are chosen, as far as that reaches. */
export function chosenRows(graph: Graph): Set<string> {
  const chosen = new Set<string>();
  for (const { opType, inputs, outputs } of graph.nodes) {
    const counting = PLACING.has(opType) ? inputs.slice(0, 1) : inputs;
    if (CHOOSING.has(opType) || counting.some((input) => chosen.has(input)))
      for (const output of outputs) chosen.add(output);
  }
  return chosen;
}
