/** Worker thread: starts its own backend, builds its own program from the ONNX bytes, then answers shards in turn. */
import { parentPort, workerData } from 'node:worker_threads';
import { readOnnx } from '../graph/onnx-file.ts';
import { startBackend } from './backend.ts';
import type { TfjsBackendName } from './backend-names.ts';
import type { LaneWork } from './lane.ts';
import { createTfjsProgram, type TfjsProgramOptions, type WeightArrays } from './tfjs-program.ts';
import { type LaneAnswer, threadError } from './thread-answer.ts';

export interface TfjsWorkerData {
  readonly backend: TfjsBackendName;
  readonly model: Uint8Array;
  readonly program: TfjsProgramOptions;
  /** In shared memory. */
  readonly weights: WeightArrays;
}

if (parentPort) {
  const port = parentPort;
  const answer = (message: LaneAnswer) => port.postMessage(message);
  const { backend, model, program: options, weights } = workerData as TfjsWorkerData;
  try {
    await startBackend(backend);
    const program = createTfjsProgram(readOnnx(model, 'the model'), options);
    port.on('message', async ({ shards, variants }: LaneWork) => {
      try {
        for (const gradient of weights.gradients) gradient.fill(0);
        const sums = [];
        for (const { masks } of variants)
          for (const shard of shards) sums.push(await program.run(shard, masks, weights));
        answer({ kind: 'sums', sums });
      } catch (error) {
        answer({ kind: 'failed', error: threadError(error) });
      }
    });
    answer({ kind: 'ready' });
  } catch (error) {
    answer({ kind: 'failed', error: threadError(error) });
  }
}
