/** Worker thread: starts its own backend, builds its own program from the ONNX bytes, then answers shards in turn. */
import { parentPort, workerData } from 'node:worker_threads';
import type { MaskedAxis } from '../graph/mask-site.ts';
import { readOnnx } from '../graph/onnx-file.ts';
import { startBackend, type TfjsBackendName } from './backend.ts';
import { createMaskProgram, type MaskProgram } from './mask-program.ts';
import type { Shard } from './shard.ts';
import { type MaskAnswer, threadError } from './thread-answer.ts';

export interface MaskWorkerData {
  readonly backend: TfjsBackendName;
  readonly model: Uint8Array;
  readonly sites: readonly (readonly MaskedAxis[])[];
}

export interface MaskWork {
  readonly shards: readonly Shard[];
  readonly masks: readonly Float32Array[];
}

if (parentPort) {
  const port = parentPort;
  const answer = (message: MaskAnswer) => port.postMessage(message);
  const { backend, model, sites } = workerData as MaskWorkerData;
  try {
    await startBackend(backend);
    const program: MaskProgram = createMaskProgram(readOnnx(model, 'the model'), sites);
    port.on('message', ({ shards, masks }: MaskWork) => {
      try {
        answer({ kind: 'sums', sums: shards.map((shard) => program.run(shard, masks)) });
      } catch (error) {
        answer({ kind: 'failed', error: threadError(error) });
      }
    });
    answer({ kind: 'ready' });
  } catch (error) {
    answer({ kind: 'failed', error: threadError(error) });
  }
}
