/** Worker thread: starts its own backend, builds its own program from the ONNX bytes, then answers shards in turn. */
import { parentPort, workerData } from 'node:worker_threads';
import { type ProblemCode, SppError } from '../../schema/errors.ts';
import type { MaskedAxis } from '../graph/mask-site.ts';
import { readOnnx } from '../graph/onnx-file.ts';
import { type BackendName, startBackend } from './backend.ts';
import { createMaskProgram, type MaskProgram, type ShardSums } from './mask-program.ts';
import type { Shard } from './shard.ts';

export interface MaskWorkerData {
  readonly backend: BackendName;
  readonly model: Uint8Array;
  readonly sites: readonly (readonly MaskedAxis[])[];
}

export interface MaskWork {
  readonly shards: readonly Shard[];
  readonly masks: readonly Float32Array[];
}

/** An error as it crosses threads, where classes are lost. */
export interface ThreadError {
  readonly code: ProblemCode | undefined;
  readonly message: string;
  readonly hint: string | undefined;
}

export type MaskAnswer =
  | { readonly kind: 'ready' }
  | { readonly kind: 'sums'; readonly sums: ShardSums[] }
  | { readonly kind: 'failed'; readonly error: ThreadError };

function threadError(error: unknown): ThreadError {
  return error instanceof SppError
    ? { code: error.code, message: error.message, hint: error.hint }
    : { code: undefined, message: String((error as Error)?.stack ?? error), hint: undefined };
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
