/** How long a text a model takes, where its inputs leave that free but a table of positions does not. */
import type { Graph } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { createOrtSession } from './ort-session.ts';
import { sampleInputs } from './sample-inputs.ts';

const LEAST = 4;

/** The longest of `most`, its half, its quarter and so on that the model runs on; `most` when it runs on none. */
export async function fittingLength(graph: Graph, most: number): Promise<number> {
  const session = await createOrtSession(writeOnnx(graph));
  try {
    for (let length = most; length >= LEAST; length = Math.floor(length / 2)) {
      const runs = await session.run(sampleInputs(graph, { batch: 1, length }, 0)).then(
        () => true,
        () => false,
      );
      if (runs) return length;
    }
    return most;
  } finally {
    await session.close();
  }
}
