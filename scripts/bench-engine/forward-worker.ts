/** One of the threads of the plain forward pass: the same layout as the engine's. */
import { parentPort, workerData } from 'node:worker_threads';
import type { LaneAnswer } from '../../trainer/engine/thread-answer.ts';
import type { Tensor } from '../../trainer/graph/graph.ts';
import { createOrtSession } from '../../trainer/runtime/ort-session.ts';

const port = parentPort;
if (port) {
  const answer = (message: LaneAnswer) => port.postMessage(message);
  const session = await createOrtSession(workerData as Uint8Array);
  port.on('message', async (feeds: Record<string, Tensor> | 'end') => {
    if (feeds === 'end') {
      await session.close();
      port.close();
      return;
    }
    await session.run(feeds);
    answer({ kind: 'sums', sums: [] });
  });
  answer({ kind: 'ready' });
}
