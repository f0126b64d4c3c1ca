/** How long a text a model takes, where its inputs leave that free but a table of positions does not. */
import type { Graph } from '../graph/graph.ts';
import { ortModel } from '../graph/ort-model.ts';
import { createOrtSession } from './ort-session.ts';
import { sampleInputs } from './sample-inputs.ts';

const LEAST = 4;

/** The greatest length up to `most` that the model runs on; `most` when it runs on none. */
export async function fittingLength(graph: Graph, most: number): Promise<number> {
  const session = await createOrtSession(ortModel(graph));
  try {
    const runs = (length: number) =>
      session.run(sampleInputs(graph, { batch: 1, length }, 0)).then(
        () => true,
        () => false,
      );
    if (await runs(most)) return most;
    let [fits, fails] = [0, most];
    for (let length = Math.floor(most / 2); length >= LEAST && fits === 0; length = Math.floor(length / 2)) {
      if (await runs(length)) fits = length;
      else fails = length;
    }
    if (fits === 0) return most;
    while (fails - fits > 1) {
      const middle = Math.floor((fits + fails) / 2);
      if (await runs(middle)) fits = middle;
      else fails = middle;
    }
    return fits;
  } finally {
    await session.close();
  }
}
