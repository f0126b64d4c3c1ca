/** Brings waiting jobs and idle threads together, and settles each job exactly once, whatever happens to it. */
import { SppError } from '../../../schema/errors.ts';
import { arrivalMeter } from '../queue/arrival-meter.ts';
import { type BatchEntry, type BatchRules, levelInTime, type NextBatch } from '../queue/batcher.ts';
import { caution } from '../queue/caution.ts';
import { nextRun } from '../queue/next-run.ts';
import type { RequestQueue } from '../queue/request-queue.ts';
import type { RawTensor } from '../tensors.ts';
import { admissionRefusal, overrun } from './admission.ts';
import { WorkerLost } from './asked-thread.ts';
import { copyFeeds, cutOutputs, joinFeeds, NOTHING_PADDED, type PaddedAxes } from './batch-tensors.ts';
import { spareBuffers } from './spare-buffers.ts';
import type { LevelModel, TaskResult, WorkerPool } from './worker-pool.ts';

/** `deadlineMs` is on the clock of `performance.now()`; a job that no allowed level can end by then is refused. */
export interface Job extends BatchEntry {
  readonly feeds: readonly RawTensor[];
  readonly outputs: readonly string[];
  /** The model of an allowed level; undefined for a sparser one that is not at hand. */
  readonly model: (level: number) => LevelModel | undefined;
  /** The client has gone: a waiting job leaves the queue, a running one is left to finish unheard. */
  readonly signal?: AbortSignal | undefined;
}

export interface JobResult extends TaskResult {
  readonly queueMs: number;
  /** The level that ran, at or below the one asked for. */
  readonly level: number;
  /** Rows of all jobs that shared the run. */
  readonly runRows: number;
  /** True for one job of each run. */
  readonly leads: boolean;
}

export interface Scheduler {
  readonly queueLength: number;
  readonly inFlight: number;
  /**
   * Rejects with `queue-full`, `budget-infeasible` (no allowed level has ever been that fast), `deadline-hopeless` (what
   * goes before it takes too long), `budget-overrun` (time ran out before dispatch), `internal` (two threads were lost
   * under it), the signal's reason, or what the pool rejects with.
   */
  submit(job: Job): Promise<JobResult>;
  /** To be called when the pool has changed. */
  pump(): void;
  /** Refuses what still waits, what comes, and what loses its thread. */
  close(error: SppError): void;
}

export interface Waiting extends BatchEntry {
  readonly job: Job;
  readonly enqueuedAtMs: number;
  attempts: number;
  timer: NodeJS.Timeout | undefined;
  settle(outcome: Outcome): void;
}

type Outcome = { result: JobResult } | { error: unknown };
type Batch = NonNullable<NextBatch<Waiting>['batch']>;

const MAX_ATTEMPTS = 2;
/** How long no request with a deadline must have come for runs to be handed over before their turn. */
const NO_HURRY_MS = 10_000;
/** Of joined inputs that is kept for the next ones. */
const SPARE_BYTES = 16 * 2 ** 20;

/**
 * @param rules what the batcher is to know, by the clock of `performance.now()`
 * @param padded which tensors have a length that may differ within a run
 */
export function scheduler(
  queue: RequestQueue<Waiting>,
  pool: WorkerPool,
  rules: BatchRules,
  padded: PaddedAxes = NOTHING_PADDED,
): Scheduler {
  /** Jobs whose run failed in company or lost its thread: they go before the queue, alone, for they have waited already. */
  const again: Waiting[] = [];
  const arrivals = arrivalMeter();
  const care = caution();
  const spare = spareBuffers(SPARE_BYTES);
  let inFlight = 0;
  let closed: SppError | undefined;

  const takeNext = (idle: number): Batch | undefined => {
    const now = performance.now();
    for (let retry = again.shift(); retry !== undefined; retry = again.shift()) {
      const level = levelInTime(retry, now, rules);
      if (level !== undefined) return { level, entries: [retry] };
      retry.settle({ error: overrun() });
    }
    const { batch, hopeless } = nextRun(queue, now, rules, {
      threads: pool.size,
      idle,
      arrivals,
      caution: care,
    });
    for (const entry of hopeless) {
      queue.remove(entry);
      entry.settle({ error: overrun() });
    }
    for (const entry of batch?.entries ?? []) queue.remove(entry);
    return batch;
  };

  /** What a run of these usually takes; 0 where nothing is known. */
  const usualMs = (entries: Batch['entries'], level: number): number =>
    rules.times(level, totalRows(entries), entries[0].length)?.p50Ms ?? 0;

  /** Negative where it is in time; of what is given up by what its run would at least have been; undefined where time was not the matter. */
  const lateBy = (entry: Waiting, outcome: Outcome): number | undefined => {
    if (entry.deadlineMs === undefined) return undefined;
    const lateMs = performance.now() - entry.deadlineMs;
    if ('result' in outcome) return lateMs;
    const { error } = outcome;
    const gaveUp = error instanceof SppError && error.code === 'budget-overrun';
    return gaveUp ? lateMs + usualMs([entry], entry.minLevel) : undefined;
  };

  const start = ({ level, entries }: Batch, behind: boolean): Promise<TaskResult> | undefined => {
    const [{ job }] = entries;
    const model = job.model(level);
    if (model === undefined) throw new Error(`level ${level} is at hand but has no model`);
    const { outputs } = job;
    const hand = behind ? pool.startBehind : pool.start;
    // A request's own feeds stay here: it is run again when its thread dies.
    const feeds =
      entries.length === 1
        ? copyFeeds(job.feeds, spare.take)
        : joinFeeds(
            entries.map((entry) => entry.job.feeds),
            filledUp(entries, padded),
            spare.take,
          );
    return hand({ model, feeds, outputs, reuse: spare.give });
  };

  const dispatch = async ({ level, entries }: Batch, running: Promise<TaskResult>, startedMs: number) => {
    inFlight += entries.length;
    const ran = care.began(
      usualMs(entries, level),
      usualMs(entries, Math.max(...entries.map(({ minLevel }) => minLevel))),
    );
    for (const entry of entries) {
      entry.attempts++;
      clearTimeout(entry.timer);
    }
    try {
      const result = await running;
      ran(result.executeMs, performance.now());
      const rows = entries.map((entry) => entry.rows);
      const parts =
        entries.length === 1
          ? [result.outputs]
          : cutOutputs(result.outputs, rows, lengthsOf(entries, filledUp(entries, padded)));
      if (parts === undefined) for (const entry of entries) tryAgain(entry);
      else
        for (const [i, entry] of entries.entries())
          entry.settle({
            result: {
              ...result,
              outputs: parts[i] ?? [],
              queueMs: startedMs - entry.enqueuedAtMs + result.behindMs,
              level,
              runRows: totalRows(entries),
              leads: i === 0,
            },
          });
    } catch (error) {
      ran(0, performance.now());
      for (const entry of entries) failed(entry, error, entries.length > 1);
    } finally {
      inFlight -= entries.length;
      pump();
    }
  };

  /**
   * What cannot be made of requests, as for want of memory, is a failure of these alone: whoever has the queue looked at is another.
   * @returns false where the pool has no place for it
   */
  const handOver = (batch: Batch, behind: boolean): boolean => {
    const { entries } = batch;
    try {
      const running = start(batch, behind);
      if (running !== undefined) void dispatch(batch, running, performance.now());
      else for (const entry of entries) tryAgain(entry);
      return running !== undefined;
    } catch (error) {
      for (const entry of entries) failed(entry, error, entries.length > 1);
      return true;
    }
  };

  /** What fails in company may be another's fault: each is tried alone, where its failure is its own. */
  const failed = (entry: Waiting, error: unknown, inCompany: boolean) => {
    const lost = error instanceof WorkerLost;
    if (lost && !error.begun) entry.attempts--;
    if (closed !== undefined && (lost || inCompany)) entry.settle({ error: closed });
    else if (inCompany || (lost && entry.attempts < MAX_ATTEMPTS)) tryAgain(entry);
    else
      entry.settle({
        error: lost
          ? new SppError('internal', 'Two worker threads were lost under this request.', { cause: error })
          : error,
      });
  };

  /** A thread may be long in coming: it waits no longer than it would in the queue. */
  const tryAgain = (entry: Waiting) => {
    const { signal } = entry.job;
    if (signal?.aborted) return entry.settle({ error: signal.reason });
    again.push(entry);
    if (entry.deadlineMs !== undefined) watch(entry, entry.deadlineMs);
  };

  /** @returns whether it was still waiting */
  const takeOut = (entry: Waiting): boolean => {
    const at = again.indexOf(entry);
    if (at >= 0) again.splice(at, 1);
    return at >= 0 || queue.remove(entry);
  };

  const pump = () => {
    const { fault } = pool;
    if (fault !== undefined)
      for (const entry of [...again.splice(0), ...queue.clear()]) entry.settle({ error: fault });
    while (pool.idle > 0) {
      const batch = takeNext(pool.idle);
      if (batch === undefined || !handOver(batch, false)) break;
    }
    while (mayGoBehind()) {
      const batch = takeNext(1);
      if (batch === undefined || !handOver(batch, true)) break;
    }
  };

  /**
   * Whether a whole batch waits that could be handed to a thread behind its present run, which then loses no time between
   * the two. It could not be overtaken there, so only where nobody has a deadline.
   */
  const mayGoBehind = () => {
    if (again.length > 0 || arrivals.sinceBudgetMs(performance.now()) < NO_HURRY_MS) return false;
    const [first] = queue.inOrder();
    if (first === undefined || first.deadlineMs !== undefined || !pool.hasRoomBehind(first.level))
      return false;
    let rows = 0;
    for (const entry of queue.inOrder()) {
      rows += entry.rows;
      if (rows >= rules.maxRows) return true;
    }
    return false;
  };

  /** Looks again when the last moment has come at which a level could have been fast enough. */
  const watch = (entry: Waiting, deadlineMs: number) => {
    const now = performance.now();
    const fastestMs = rules.times(entry.minLevel, entry.rows, entry.length)?.fastestMs ?? 0;
    const inMs = Math.max(0, deadlineMs - fastestMs - now, Math.min(1, deadlineMs - now));
    clearTimeout(entry.timer);
    entry.timer = setTimeout(() => {
      if (levelInTime(entry, performance.now(), rules) !== undefined) watch(entry, deadlineMs);
      else if (takeOut(entry)) entry.settle({ error: overrun() });
    }, inMs);
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
        const { level, minLevel, rows, length, shareKey, deadlineMs, signal } = job;
        signal?.throwIfAborted();
        const refusal = closed ?? pool.fault;
        if (refusal !== undefined) throw refusal;
        const now = performance.now();
        let waiting = true;
        const onAbort = () => {
          if (takeOut(entry)) entry.settle({ error: signal?.reason });
        };
        const entry: Waiting = {
          job,
          level,
          minLevel,
          rows,
          length,
          shareKey,
          deadlineMs,
          enqueuedAtMs: now,
          attempts: 0,
          timer: undefined,
          settle(outcome) {
            waiting = false;
            const lateMs = lateBy(entry, outcome);
            if (lateMs !== undefined && deadlineMs !== undefined && minLevel < level)
              care.ended(lateMs, now, deadlineMs - now);
            clearTimeout(entry.timer);
            signal?.removeEventListener('abort', onAbort);
            if ('result' in outcome) resolve(outcome.result);
            else reject(outcome.error);
          },
        };
        const inVain = admissionRefusal(entry, now, queue, rules, pool);
        // A budget that no level was ever fast enough for is no load, and no reason to keep runs short for those like it.
        if (inVain === undefined || inVain.code === 'deadline-hopeless')
          arrivals.arrived(rows, deadlineMs === undefined ? undefined : deadlineMs - now, now);
        if (inVain !== undefined) throw inVain;
        queue.push(entry);
        signal?.addEventListener('abort', onAbort, { once: true });
        pump();
        if (deadlineMs !== undefined && waiting && entry.attempts === 0) watch(entry, deadlineMs);
      }),
    pump,
    close(error) {
      closed = error;
      for (const entry of [...again.splice(0), ...queue.clear()]) entry.settle({ error });
    },
  };
}

function totalRows(entries: readonly BatchEntry[]): number {
  return entries.reduce((sum, { rows }) => sum + rows, 0);
}

/** Requests whose own sequences differ in length, as those of an encoder and its decoder do, share a run only where they are alike. */
function filledUp([{ length }]: Batch['entries'], padded: PaddedAxes): PaddedAxes {
  return length > 0 ? padded : NOTHING_PADDED;
}

/** Of each entry's sequences, as it sent them; undefined where lengths do not differ within a run. */
function lengthsOf(entries: readonly Waiting[], { inputs, outputs }: PaddedAxes) {
  if (inputs.size === 0) return undefined;
  const lengths = entries.map(({ job }) => job.feeds.find(({ name }) => inputs.has(name))?.dims[1] ?? 1);
  return { outputs, lengths };
}
