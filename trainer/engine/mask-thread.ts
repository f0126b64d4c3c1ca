/** The calling side of a mask worker: one question at a time, and a thread that dies fails what it was asked. */
import { Worker } from 'node:worker_threads';
import { SppError } from '../../schema/errors.ts';
import type { ShardSums } from './mask-program.ts';
import type { MaskAnswer, MaskWork, MaskWorkerData, ThreadError } from './mask-worker.ts';

export interface MaskThread {
  /** @throws what the worker threw, or `internal` when it died */
  ask(work: MaskWork): Promise<ShardSums[]>;
  close(): Promise<void>;
}

/** Resolves when the thread's backend runs and its program is built. */
export async function startMaskThread(data: MaskWorkerData): Promise<MaskThread> {
  const worker = new Worker(new URL('./mask-worker.ts', import.meta.url), { workerData: data });
  let pending: PromiseWithResolvers<MaskAnswer> | undefined = Promise.withResolvers<MaskAnswer>();
  let dead: Error | undefined;
  const die = (error: Error) => {
    dead ??= error;
    pending?.reject(dead);
    pending = undefined;
  };
  worker.on('message', (answer: MaskAnswer) => {
    pending?.resolve(answer);
    pending = undefined;
  });
  worker.on('error', (cause) => die(died((cause as Error).message, cause)));
  worker.on('exit', (code) => die(died(`it ended with code ${code}`, undefined)));

  const ready = await pending.promise;
  if (ready.kind === 'failed') {
    await worker.terminate();
    throw fromThread(ready.error);
  }
  return {
    async ask(work) {
      if (dead) throw dead;
      pending = Promise.withResolvers<MaskAnswer>();
      const { promise } = pending;
      worker.postMessage(work);
      const answer = await promise;
      if (answer.kind === 'failed') throw fromThread(answer.error);
      return answer.kind === 'sums' ? answer.sums : [];
    },
    async close() {
      await worker.terminate();
    },
  };
}

function died(reason: string, cause: unknown): SppError {
  return new SppError('internal', `A worker of the mask engine died: ${reason}.`, {
    hint: 'Often memory: use a smaller batch or fewer workers. A checkpointed run goes on with --resume.',
    cause,
  });
}

function fromThread({ code, message, hint }: ThreadError): Error {
  return code ? new SppError(code, message, hint === undefined ? {} : { hint }) : died(message, undefined);
}
