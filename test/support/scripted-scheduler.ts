/** A scheduler on a pool whose tasks end when and how a test says, and jobs for it. */
import type { PaddedAxes } from '../../infra/node/execution/batch-tensors.ts';
import { type Job, scheduler, type Waiting } from '../../infra/node/execution/scheduler.ts';
import type { Task, TaskResult, WorkerPool } from '../../infra/node/execution/worker-pool.ts';
import type { BatchRules } from '../../infra/node/queue/batcher.ts';
import { edfQueue } from '../../infra/node/queue/edf-queue.ts';
import type { SppError } from '../../schema/errors.ts';

export const RESULT: TaskResult = { outputs: [], loadMs: 0, executeMs: 1, runMs: 1, behindMs: 0 };

/** A pool whose tasks end when and how the test says. */
function scriptedPool(size: number) {
  const running: { task: Task; end: (outcome: TaskResult | Error) => void }[] = [];
  const state = { idle: size, roomBehind: 0, fault: undefined as SppError | undefined };
  const hand = (task: Task, room: 'idle' | 'roomBehind') => {
    if (state[room] === 0) return undefined;
    state[room]--;
    return new Promise<TaskResult>((resolve, reject) => {
      running.push({
        task,
        end(outcome) {
          state[room]++;
          if (outcome instanceof Error) reject(outcome);
          else resolve(outcome);
        },
      });
    });
  };
  const pool: WorkerPool = {
    size,
    get idle() {
      return state.idle;
    },
    get fault() {
      return state.fault;
    },
    start: (task) => hand(task, 'idle'),
    hasRoomBehind: () => state.roomBehind > 0,
    startBehind: (task) => hand(task, 'roomBehind'),
    expect: () => {},
    unload: () => {},
    pack: () => {},
    upkeep: async () => {},
    close: async () => {},
  };
  return { pool, running, state };
}

const model = (level: number) => ({ level, data: { kind: 'views' as const, path: 'unread.onnx' } });

export function job(level: number, extra: Partial<Job> = {}): Job {
  return {
    level,
    minLevel: level,
    rows: 1,
    length: 0,
    shareKey: undefined,
    model,
    feeds: [],
    outputs: [],
    deadlineMs: undefined,
    ...extra,
  };
}

/** A job of one row that may share its run; its input is `value`. */
export function sharing(value: number, extra: Partial<Job> = {}): Job {
  const feed = { name: 'x', type: 'float32', dims: [1, 1], data: Float32Array.of(value) };
  return job(1, { shareKey: 'k', feeds: [feed], ...extra });
}

/** What a run answers that gives its inputs back. */
export function echo({ task }: { task: Task }): TaskResult {
  return { ...RESULT, outputs: task.feeds };
}

export const inputs = ({ task }: { task: Task }) => [...(task.feeds[0]?.data ?? [])];

/** Runs of `ms` per batch, whatever its size. */
export const taking =
  (ms: number): BatchRules['times'] =>
  () => ({ fastestMs: ms, p50Ms: ms, p95Ms: ms });

/** @returns the scheduler, what its pool was given so far, and the levels of that */
export function scriptedScheduler(
  options: {
    workers?: number;
    limit?: number;
    times?: BatchRules['times'];
    maxRows?: number;
    padded?: PaddedAxes;
  } = {},
) {
  const parts = scriptedPool(options.workers ?? 1);
  const rules: BatchRules = {
    maxRows: options.maxRows ?? 8,
    times: options.times ?? (() => undefined),
    atHand: () => true,
  };
  const jobs = scheduler(edfQueue<Waiting>(options.limit ?? 10), parts.pool, rules, options.padded);
  const levels = () => parts.running.map(({ task }) => task.model.level);
  return { ...parts, jobs, levels };
}

export const settled = () => new Promise((resolve) => setImmediate(resolve));
