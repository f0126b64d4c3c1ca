import { afterEach, describe, expect, test, vi } from 'vitest';
import { SppError } from '../../../schema/errors.ts';
import { fifoQueue } from '../queue/fifo-queue.ts';
import { type Job, scheduler, type Waiting } from './scheduler.ts';
import { type Task, type TaskResult, WorkerLost, type WorkerPool } from './worker-pool.ts';

afterEach(() => {
  vi.useRealTimers();
});

const RESULT: TaskResult = { outputs: [], loadMs: 0, executeMs: 1 };

/** A pool whose tasks end when and how the test says. */
function scriptedPool(size: number) {
  const running: { task: Task; end: (outcome: TaskResult | Error) => void }[] = [];
  const state = { idle: size, fault: undefined as SppError | undefined };
  const pool: WorkerPool = {
    size,
    get idle() {
      return state.idle;
    },
    get fault() {
      return state.fault;
    },
    start(task) {
      if (state.idle === 0) return undefined;
      state.idle--;
      return new Promise<TaskResult>((resolve, reject) => {
        running.push({
          task,
          end(outcome) {
            state.idle++;
            if (outcome instanceof Error) reject(outcome);
            else resolve(outcome);
          },
        });
      });
    },
    unload: () => {},
    close: async () => {},
  };
  return { pool, running, state };
}

function job(level: number, extra: Partial<Job> = {}): Job {
  const bytes = new Uint8Array(new SharedArrayBuffer(0));
  return { model: { level, bytes }, feeds: [], outputs: [], deadlineMs: undefined, ...extra };
}

function set(options: { workers?: number; limit?: number } = {}) {
  const parts = scriptedPool(options.workers ?? 1);
  const jobs = scheduler(fifoQueue<Waiting>(options.limit ?? 10), parts.pool);
  const levels = () => parts.running.map(({ task }) => task.model.level);
  return { ...parts, jobs, levels };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('scheduler', () => {
  test('starts what there are idle threads for and the rest in the order of arrival', async () => {
    const { jobs, running, levels } = set({ workers: 2 });
    const results = [1, 2, 3, 4].map((level) => jobs.submit(job(level)));
    expect([levels(), jobs.inFlight, jobs.queueLength]).toEqual([[1, 2], 2, 2]);
    running[1]!.end(RESULT);
    await results[1];
    expect(levels()).toEqual([1, 2, 3]);
    running[0]!.end(RESULT);
    running[2]!.end(RESULT);
    await Promise.all([results[0], results[2]]);
    await settled();
    running[3]!.end(RESULT);
    await results[3];
    await settled();
    expect([jobs.inFlight, jobs.queueLength]).toEqual([0, 0]);
  });

  test('a job whose thread was lost runs again before those that wait', async () => {
    const { jobs, running, levels } = set();
    const first = jobs.submit(job(1));
    const second = jobs.submit(job(2));
    running[0]!.end(new WorkerLost('gone'));
    await settled();
    expect(levels()).toEqual([1, 1]);
    running[1]!.end(RESULT);
    await expect(first).resolves.toMatchObject({ executeMs: 1 });
    await settled();
    running[2]!.end(RESULT);
    await expect(second).resolves.toMatchObject({ executeMs: 1 });
  });

  test('a job under which two threads were lost is given up, so that it cannot take down a third', async () => {
    const { jobs, running } = set();
    const result = jobs.submit(job(1));
    const outcome = expect(result).rejects.toMatchObject({ code: 'internal' });
    running[0]!.end(new WorkerLost('gone'));
    await settled();
    running[1]!.end(new WorkerLost('gone'));
    await outcome;
    expect(running.length).toBe(2);
  });

  test('a deadline that passes while waiting refuses the job without a thread being there', async () => {
    const { jobs, levels } = set();
    void jobs.submit(job(1));
    await expect(jobs.submit(job(2, { deadlineMs: performance.now() + 1 }))).rejects.toMatchObject({
      code: 'budget-overrun',
    });
    expect(levels()).toEqual([1]);
    expect(jobs.queueLength).toBe(0);
  });

  test('a deadline that has passed at submission is refused at once', async () => {
    const { jobs, levels } = set();
    await expect(jobs.submit(job(1, { deadlineMs: performance.now() }))).rejects.toMatchObject({
      code: 'budget-overrun',
    });
    expect(levels()).toEqual([]);
  });

  test('a deadline that passes after dispatch does not take the answer away', async () => {
    vi.useFakeTimers();
    const { jobs, running } = set();
    const result = jobs.submit(job(1, { deadlineMs: performance.now() + 5 }));
    vi.advanceTimersByTime(10);
    running[0]!.end(RESULT);
    await expect(result).resolves.toMatchObject({ executeMs: 1 });
  });

  test('a client that goes away takes its waiting job with it', async () => {
    const { jobs, running, levels } = set();
    const first = jobs.submit(job(1));
    const client = new AbortController();
    const gone = jobs.submit(job(2, { signal: client.signal }));
    client.abort(new Error('client gone'));
    await expect(gone).rejects.toThrow('client gone');
    expect(jobs.queueLength).toBe(0);
    running[0]!.end(RESULT);
    await first;
    await settled();
    expect(levels()).toEqual([1]);
  });

  test('a full queue refuses at once and leaves what waits alone', async () => {
    const { jobs } = set({ limit: 1 });
    void jobs.submit(job(1));
    void jobs.submit(job(2));
    await expect(jobs.submit(job(3))).rejects.toMatchObject({ code: 'queue-full' });
    expect(jobs.queueLength).toBe(1);
  });

  test('threads that do not start refuse what waits and what comes', async () => {
    const { jobs, state } = set({ workers: 0 });
    const waiting = expect(jobs.submit(job(1))).rejects.toMatchObject({ code: 'backend-unavailable' });
    state.fault = new SppError('backend-unavailable', 'no threads');
    jobs.pump();
    await waiting;
    await expect(jobs.submit(job(2))).rejects.toMatchObject({ code: 'backend-unavailable' });
  });

  test('closing refuses what waits and lets what runs finish', async () => {
    const { jobs, running } = set();
    const first = jobs.submit(job(1));
    const second = expect(jobs.submit(job(2))).rejects.toMatchObject({ code: 'draining' });
    jobs.close(new SppError('draining', 'stopping'));
    await second;
    running[0]!.end(RESULT);
    await expect(first).resolves.toMatchObject({ executeMs: 1 });
  });
});
