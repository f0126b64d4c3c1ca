import { afterEach, describe, expect, test, vi } from 'vitest';
import { SppError } from '../../../schema/errors.ts';
import type { BatchRules } from '../queue/batcher.ts';
import { edfQueue } from '../queue/edf-queue.ts';
import { type Job, scheduler, type Waiting } from './scheduler.ts';
import { type Task, type TaskResult, WorkerLost, type WorkerPool } from './worker-pool.ts';

afterEach(() => {
  vi.useRealTimers();
});

const RESULT: TaskResult = { outputs: [], loadMs: 0, executeMs: 1, runMs: 1, behindMs: 0 };

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

function job(level: number, extra: Partial<Job> = {}): Job {
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
function sharing(value: number, extra: Partial<Job> = {}): Job {
  const feed = { name: 'x', type: 'float32', dims: [1, 1], data: Float32Array.of(value) };
  return job(1, { shareKey: 'k', feeds: [feed], ...extra });
}

/** What a run answers that gives its inputs back. */
function echo({ task }: { task: Task }): TaskResult {
  return { ...RESULT, outputs: task.feeds };
}

const inputs = ({ task }: { task: Task }) => [...(task.feeds[0]?.data ?? [])];

/** Runs of `ms` per batch, whatever its size. */
const taking =
  (ms: number): BatchRules['times'] =>
  () => ({ fastestMs: ms, p50Ms: ms, p95Ms: ms });

function set(
  options: { workers?: number; limit?: number; times?: BatchRules['times']; maxRows?: number } = {},
) {
  const parts = scriptedPool(options.workers ?? 1);
  const jobs = scheduler(edfQueue<Waiting>(options.limit ?? 10), parts.pool, {
    maxRows: options.maxRows ?? 8,
    times: options.times ?? (() => undefined),
    atHand: () => true,
  });
  const levels = () => parts.running.map(({ task }) => task.model.level);
  return { ...parts, jobs, levels };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('scheduler', () => {
  test('hands a whole batch to a busy thread behind its run, where nobody has a deadline', async () => {
    const { jobs, running, state } = set({ maxRows: 2, times: taking(1) });
    state.roomBehind = 1;
    const results = [1, 2, 3].map((value) => jobs.submit(sharing(value)));
    expect(running.map(inputs)).toEqual([[1], [2, 3]]);
    const last = [4, 5].map((value) => jobs.submit(sharing(value)));
    expect([running.length, jobs.queueLength, jobs.inFlight]).toEqual([2, 2, 3]);
    running[1]!.end({ ...echo(running[1]!), behindMs: 7 });
    const [, second] = await Promise.all([undefined, results[1]]);
    expect(second!.queueMs).toBeGreaterThanOrEqual(7);
    await settled();
    expect(inputs(running[2]!)).toEqual([4, 5]);
    for (const run of [running[0]!, running[2]!]) run.end(echo(run));
    await Promise.all([...results, ...last]);
  });

  test('does not count a thread that was lost before it came to a run', async () => {
    const { jobs, running, state } = set({ maxRows: 1 });
    state.roomBehind = 1;
    const [first, second] = [jobs.submit(job(1)), jobs.submit(job(1))];
    running[0]!.end(RESULT);
    state.idle = 0;
    running[1]!.end(new WorkerLost('gone', false));
    await first;
    await settled();
    state.idle = 1;
    jobs.pump();
    running[2]!.end(new WorkerLost('gone'));
    await settled();
    running[3]!.end(RESULT);
    await expect(second).resolves.toMatchObject({ executeMs: 1 });
  });

  test('hands nothing over before its turn while requests with deadlines come, or less than a whole batch', async () => {
    vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] });
    const { jobs, running, state } = set({ maxRows: 2, times: taking(1) });
    state.roomBehind = 1;
    const all = [
      jobs.submit(sharing(1)),
      jobs.submit(sharing(2, { deadlineMs: performance.now() + 60_000 })),
    ];
    all.push(...[3, 4].map((value) => jobs.submit(sharing(value))));
    expect(running.map(inputs)).toEqual([[1]]);
    running[0]!.end(echo(running[0]!));
    await vi.advanceTimersByTimeAsync(1);
    expect(running.map(inputs)).toEqual([[1], [2, 3]]);
    await vi.advanceTimersByTimeAsync(20_000);
    all.push(jobs.submit(sharing(5)));
    expect(running.map(inputs)).toEqual([[1], [2, 3], [4, 5]]);
    for (const run of running.slice(1)) run.end(echo(run));
    await Promise.all(all);
  });

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

describe('scheduler, sharing runs', () => {
  test('what has waited runs together, and each job gets its own rows back', async () => {
    const { jobs, running } = set({ times: taking(1) });
    const first = jobs.submit(sharing(1));
    const others = [2, 3, 4].map((value) => jobs.submit(sharing(value)));
    running[0]!.end(echo(running[0]!));
    await first;
    await settled();
    expect(inputs(running[1]!)).toEqual([2, 3, 4]);
    expect([jobs.inFlight, jobs.queueLength]).toEqual([3, 0]);
    running[1]!.end(echo(running[1]!));
    const results = await Promise.all(others);
    expect(results.map(({ outputs }) => [...outputs[0]!.data])).toEqual([[2], [3], [4]]);
    expect(results.map(({ runRows, leads }) => [runRows, leads])).toEqual([
      [3, true],
      [3, false],
      [3, false],
    ]);
    expect(running.length).toBe(2);
  });

  test('threads that are idle together share what waits', async () => {
    const { jobs, running, state } = set({ workers: 0, times: taking(1) });
    for (const value of [1, 2, 3]) void jobs.submit(sharing(value));
    state.idle = 2;
    jobs.pump();
    expect(running.map(inputs)).toEqual([[1, 2], [3]]);
  });

  test('the earliest deadline goes first, whenever it came', async () => {
    const { jobs, levels, running } = set();
    const now = performance.now();
    const first = jobs.submit(job(0));
    void jobs.submit(job(1));
    void jobs.submit(job(2, { deadlineMs: now + 90_000 }));
    void jobs.submit(job(3, { deadlineMs: now + 80_000 }));
    running[0]!.end(RESULT);
    await first;
    await settled();
    expect(levels()).toEqual([0, 3]);
  });

  test('a shared run that fails fails nobody but the job that fails alone', async () => {
    const { jobs, running } = set({ times: taking(1) });
    const first = jobs.submit(sharing(0));
    const [good, bad] = [jobs.submit(sharing(1)), jobs.submit(sharing(-1))];
    const refused = expect(bad).rejects.toMatchObject({ code: 'bad-request' });
    running[0]!.end(echo(running[0]!));
    await first;
    await settled();
    running[1]!.end(new SppError('bad-request', 'one of them is wrong'));
    await settled();
    expect(running.map(inputs)).toEqual([[0], [1, -1], [1]]);
    running[2]!.end(echo(running[2]!));
    await expect(good).resolves.toMatchObject({ runRows: 1 });
    await settled();
    expect(inputs(running[3]!)).toEqual([-1]);
    running[3]!.end(new SppError('bad-request', 'this one'));
    await refused;
  });

  test('a shared run that loses its thread is taken up one by one', async () => {
    const { jobs, running } = set({ times: taking(1) });
    const first = jobs.submit(sharing(0));
    const [good, bad] = [jobs.submit(sharing(1)), jobs.submit(sharing(2))];
    const lost = expect(bad).rejects.toMatchObject({ code: 'internal' });
    running[0]!.end(echo(running[0]!));
    await first;
    await settled();
    running[1]!.end(new WorkerLost('gone'));
    await settled();
    running[2]!.end(echo(running[2]!));
    await expect(good).resolves.toMatchObject({ runRows: 1 });
    await settled();
    running[3]!.end(new WorkerLost('gone'));
    await lost;
    expect(running.length).toBe(4);
  });

  test('a model whose outputs do not have the rows of its inputs is run one by one', async () => {
    const { jobs, running } = set({ times: taking(1) });
    const first = jobs.submit(sharing(0));
    const others = [jobs.submit(sharing(1)), jobs.submit(sharing(2))];
    running[0]!.end(echo(running[0]!));
    await first;
    await settled();
    const pooled = { name: 'x', type: 'float32', dims: [1, 1], data: Float32Array.of(9) };
    running[1]!.end({ ...RESULT, outputs: [pooled] });
    for (const at of [2, 3]) {
      await settled();
      running[at]!.end(echo(running[at]!));
    }
    const results = await Promise.all(others);
    expect(results.map(({ outputs }) => [...outputs[0]!.data])).toEqual([[1], [2]]);
  });

  test('a client that has gone is not served again when its shared run fails', async () => {
    const { jobs, running } = set({ times: taking(1) });
    const first = jobs.submit(sharing(0));
    const client = new AbortController();
    const gone = expect(jobs.submit(sharing(1, { signal: client.signal }))).rejects.toThrow('client gone');
    void jobs.submit(sharing(2));
    running[0]!.end(echo(running[0]!));
    await first;
    await settled();
    client.abort(new Error('client gone'));
    running[1]!.end(new WorkerLost('gone'));
    await gone;
    await settled();
    expect(running.map(inputs)).toEqual([[0], [1, 2], [2]]);
  });
});

describe('scheduler, hopeless deadlines', () => {
  const inMs = (ms: number) => performance.now() + ms;

  test('refuses at once what no allowed level has ever been fast enough for', async () => {
    const { jobs, running } = set({ times: (level) => taking(1000 * (level + 1))(level, 1, 0) });
    await expect(jobs.submit(job(2, { deadlineMs: inMs(1500) }))).rejects.toMatchObject({
      code: 'budget-infeasible',
      details: { level: 2, minLevel: 2 },
      retryAfterS: 1,
    });
    expect(running.length).toBe(0);
    void jobs.submit(job(2, { minLevel: 0, deadlineMs: inMs(1500) }));
    expect(running.map(({ task }) => task.model.level)).toEqual([0]);
  });

  test('refuses at once what the earlier deadlines leave no time for, and says when to come back', async () => {
    const { jobs } = set({ times: taking(10_000), maxRows: 1 });
    void jobs.submit(job(0));
    for (let i = 0; i < 3; i++) void jobs.submit(job(0, { deadlineMs: inMs(35_000 + i) }));
    await expect(jobs.submit(job(0, { deadlineMs: inMs(39_000) }))).rejects.toMatchObject({
      code: 'deadline-hopeless',
      retryAfterS: 30,
    });
    // Before those it is in time, and after them too with time enough.
    void jobs.submit(job(0, { deadlineMs: inMs(30_000) }));
    void jobs.submit(job(0, { deadlineMs: inMs(90_000) }));
    expect(jobs.queueLength).toBe(5);
  });

  test('refuses what waits as soon as no run could end in time, not only at its deadline', async () => {
    vi.useFakeTimers();
    const { jobs, levels } = set({ times: taking(100) });
    void jobs.submit(job(1));
    const late = expect(jobs.submit(job(2, { deadlineMs: inMs(300) }))).rejects.toMatchObject({
      code: 'budget-overrun',
    });
    vi.advanceTimersByTime(199);
    expect(jobs.queueLength).toBe(1);
    vi.advanceTimersByTime(4);
    await late;
    expect([jobs.queueLength, levels()]).toEqual([0, [1]]);
  });
});
