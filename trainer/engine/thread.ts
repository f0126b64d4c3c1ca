/** The calling side of a worker: one question at a time, and a thread that dies fails what it was asked. */
import { Worker } from 'node:worker_threads';
import { SppError } from '../../schema/errors.ts';
import type { ShardSums } from './lane.ts';
import type { LaneAnswer, ThreadError } from './thread-answer.ts';

export interface LaneThread<Work> {
  /** @throws what the worker threw, or `internal` when it died */
  ask(work: Work): Promise<ShardSums[]>;
  close(): Promise<void>;
}

/**
 * Resolves when the worker says that it is ready.
 * @param script answers with `LaneAnswer`s
 * @param end stops a worker that lives
 */
export async function startThread<Work>(
  script: URL,
  data: unknown,
  end: (worker: Worker) => Promise<void>,
): Promise<LaneThread<Work>> {
  const worker = new Worker(script, { workerData: data });
  let pending: PromiseWithResolvers<LaneAnswer> | undefined = Promise.withResolvers<LaneAnswer>();
  let dead: Error | undefined;
  const die = (error: Error) => {
    dead ??= error;
    pending?.reject(dead);
    pending = undefined;
  };
  worker.on('message', (answer: LaneAnswer) => {
    pending?.resolve(answer);
    pending = undefined;
  });
  worker.on('error', (cause) => die(died((cause as Error).message, cause)));
  worker.on('exit', (code) => die(died(`it ended with code ${code}`, undefined)));

  const ready = await pending.promise;
  if (ready.kind === 'failed') {
    await end(worker);
    throw fromThread(ready.error);
  }
  return {
    async ask(work) {
      if (dead) throw dead;
      pending = Promise.withResolvers<LaneAnswer>();
      const { promise } = pending;
      worker.postMessage(work);
      const answer = await promise;
      if (answer.kind === 'failed') throw fromThread(answer.error);
      return answer.kind === 'sums' ? answer.sums : [];
    },
    async close() {
      if (!dead) await end(worker);
    },
  };
}

function died(reason: string, cause: unknown): SppError {
  return new SppError('internal', `A worker of the engine died: ${reason}.`, {
    hint: 'Often memory: use a smaller batch or fewer workers. A checkpointed run goes on with --resume.',
    cause,
  });
}

function fromThread({ code, message, hint }: ThreadError): Error {
  return code ? new SppError(code, message, hint === undefined ? {} : { hint }) : died(message, undefined);
}
