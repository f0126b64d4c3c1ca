/** Brings waiting jobs and idle threads together, and settles each job exactly once, whatever happens to it. */
import { SppError } from '../../../schema/errors.ts';
import type { QueueEntry, RequestQueue } from '../queue/request-queue.ts';
import { type Task, type TaskResult, WorkerLost, type WorkerPool } from './worker-pool.ts';

export interface Job extends Task {
  /** On the clock of `performance.now()`; a job not dispatched by then is refused. */
  readonly deadlineMs: number | undefined;
  /** The client has gone: a waiting job leaves the queue, a running one is left to finish unheard. */
  readonly signal?: AbortSignal | undefined;
}

export interface JobResult extends TaskResult {
  readonly queueMs: number;
}

export interface Scheduler {
  readonly queueLength: number;
  readonly inFlight: number;
  /**
   * Rejects with `queue-full`, `budget-overrun` (the deadline passed before dispatch), `internal` (two threads were lost
   * under it), the signal's reason, or what the pool rejects with.
   */
  submit(job: Job): Promise<JobResult>;
  /** To be called when the pool has changed. */
  pump(): void;
  /** Refuses what still waits, what comes, and what loses its thread. */
  close(error: SppError): void;
}

export interface Waiting extends QueueEntry {
  readonly job: Job;
  readonly enqueuedAtMs: number;
  attempts: number;
  timer: NodeJS.Timeout | undefined;
  settle(outcome: { result: JobResult } | { error: unknown }): void;
}

const MAX_ATTEMPTS = 2;

export function scheduler(queue: RequestQueue<Waiting>, pool: WorkerPool): Scheduler {
  /** Jobs whose thread was lost go before the queue: they have waited already. */
  const again: Waiting[] = [];
  let inFlight = 0;
  let closed: SppError | undefined;

  const refuseLate = (entry: Waiting) =>
    entry.settle({
      error: new SppError(
        'budget-overrun',
        'The latency budget ran out while the request waited for a worker.',
        {
          hint: 'Allow more time, or ask for a sparser level.',
        },
      ),
    });

  const takeNext = (): Waiting | undefined => {
    const now = performance.now();
    for (let retry = again.shift(); retry !== undefined; retry = again.shift()) {
      if ((retry.deadlineMs ?? Number.POSITIVE_INFINITY) > now) return retry;
      refuseLate(retry);
    }
    const { next, expired } = queue.take(now);
    expired.forEach(refuseLate);
    return next;
  };

  const dispatch = async (entry: Waiting, running: Promise<TaskResult>, startedMs: number) => {
    inFlight++;
    entry.attempts++;
    clearTimeout(entry.timer);
    try {
      const result = await running;
      entry.settle({ result: { ...result, queueMs: startedMs - entry.enqueuedAtMs } });
    } catch (error) {
      if (!(error instanceof WorkerLost)) entry.settle({ error });
      else if (closed !== undefined) entry.settle({ error: closed });
      else if (entry.attempts < MAX_ATTEMPTS) again.push(entry);
      else
        entry.settle({
          error: new SppError('internal', 'Two worker threads were lost under this request.', {
            cause: error,
          }),
        });
    } finally {
      inFlight--;
      pump();
    }
  };

  const pump = () => {
    const { fault } = pool;
    if (fault !== undefined)
      for (const entry of [...again.splice(0), ...queue.clear()]) entry.settle({ error: fault });
    while (pool.idle > 0) {
      const entry = takeNext();
      const running = entry && pool.start(entry.job);
      if (entry === undefined || running === undefined) break;
      void dispatch(entry, running, performance.now());
    }
  };

  return {
    get queueLength() {
      return queue.length + again.length;
    },
    get inFlight() {
      return inFlight;
    },
    submit: (job) =>
      new Promise<JobResult>((resolve, reject) => {
        job.signal?.throwIfAborted();
        const refusal = closed ?? pool.fault;
        if (refusal !== undefined) throw refusal;
        const now = performance.now();
        const onAbort = () => {
          if (queue.remove(entry)) entry.settle({ error: job.signal?.reason });
        };
        const entry: Waiting = {
          job,
          deadlineMs: job.deadlineMs,
          enqueuedAtMs: now,
          attempts: 0,
          timer: undefined,
          settle(outcome) {
            clearTimeout(entry.timer);
            job.signal?.removeEventListener('abort', onAbort);
            if ('result' in outcome) resolve(outcome.result);
            else reject(outcome.error);
          },
        };
        if (job.deadlineMs !== undefined && job.deadlineMs <= now) return refuseLate(entry);
        queue.push(entry);
        job.signal?.addEventListener('abort', onAbort, { once: true });
        if (job.deadlineMs !== undefined)
          entry.timer = setTimeout(() => {
            if (queue.remove(entry)) refuseLate(entry);
          }, job.deadlineMs - now);
        pump();
      }),
    pump,
    close(error) {
      closed = error;
      for (const entry of [...again.splice(0), ...queue.clear()]) entry.settle({ error });
    },
  };
}
