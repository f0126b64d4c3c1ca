import { afterEach, describe, expect, test, vi } from 'vitest';
import { SppError } from '../../../schema/errors.ts';
import {
  echo,
  inputs,
  job,
  RESULT,
  scriptedScheduler,
  settled,
  sharing,
  taking,
} from '../../../test/support/scripted-scheduler.ts';
import { WorkerLost } from './asked-thread.ts';

afterEach(() => {
  vi.useRealTimers();
});

describe('scheduler', () => {
  test('hands a whole batch to a busy thread behind its run, where nobody has a deadline', async () => {
    const { jobs, running, state } = scriptedScheduler({ maxRows: 2, times: taking(1) });
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

  test('fails a request alone whose inputs cannot be copied, and goes on with the others', async () => {
    const { jobs, running } = scriptedScheduler({ maxRows: 2, times: taking(1) });
    const first = jobs.submit(job(1));
    const tooLarge = Object.defineProperty(Float32Array.of(2), 'byteLength', {
      get: () => {
        throw new RangeError('Array buffer allocation failed');
      },
    });
    const feeds = [{ name: 'x', type: 'float32', dims: [1, 1], data: tooLarge }];
    const waiting = [jobs.submit(job(1, { feeds })), jobs.submit(sharing(3)), jobs.submit(sharing(4))];
    const outcome = Promise.allSettled(waiting);
    running[0]!.end(RESULT);
    await first;
    await settled();
    expect(running.slice(1).map(inputs)).toEqual([[3, 4]]);
    running[1]!.end(echo(running[1]!));
    expect(await outcome).toMatchObject([
      { status: 'rejected', reason: { message: 'Array buffer allocation failed' } },
      { status: 'fulfilled' },
      { status: 'fulfilled' },
    ]);
    expect([jobs.queueLength, jobs.inFlight]).toEqual([0, 0]);
  });

  test('does not count a thread that was lost before it came to a run', async () => {
    const { jobs, running, state } = scriptedScheduler({ maxRows: 1 });
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
    const { jobs, running, state } = scriptedScheduler({ maxRows: 2, times: taking(1) });
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
    const { jobs, running, levels } = scriptedScheduler({ workers: 2 });
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
    const { jobs, running, levels } = scriptedScheduler();
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
    const { jobs, running } = scriptedScheduler();
    const result = jobs.submit(job(1));
    const outcome = expect(result).rejects.toMatchObject({ code: 'internal' });
    running[0]!.end(new WorkerLost('gone'));
    await settled();
    running[1]!.end(new WorkerLost('gone'));
    await outcome;
    expect(running.length).toBe(2);
  });

  test('a job whose client left while its thread was lost waits for no other one', async () => {
    const { jobs, running, state } = scriptedScheduler();
    const client = new AbortController();
    const outcome = expect(jobs.submit(job(1, { signal: client.signal }))).rejects.toThrow('gone');
    client.abort(new Error('gone'));
    running[0]!.end(new WorkerLost('crash'));
    state.idle = 0;
    await settled();
    expect(jobs.queueLength).toBe(0);
    await outcome;
  });

  test.each([
    ['whose deadline passes', { code: 'budget-overrun' }],
    ['whose client goes away', { message: 'gone' }],
  ])(
    'a job %s while no thread has taken the place of the lost one is done with at once',
    async (_, error) => {
      const { jobs, running, state } = scriptedScheduler({ times: taking(1) });
      const client = new AbortController();
      const deadlineMs = performance.now() + ('code' in error ? 500 : 60_000);
      const outcome = jobs.submit(job(1, { deadlineMs, signal: client.signal })).catch((reason) => reason);
      running[0]!.end(new WorkerLost('crash'));
      state.idle = 0;
      await settled();
      expect(jobs.queueLength).toBe(1);
      if (!('code' in error)) client.abort(new Error('gone'));
      const late = new Promise((resolve) => setTimeout(resolve, 5000, 'still there'));
      expect(await Promise.race([outcome, late])).toMatchObject(error);
      expect(jobs.queueLength).toBe(0);
    },
  );

  test('a deadline that passes while waiting refuses the job without a thread being there', async () => {
    const { jobs, levels } = scriptedScheduler();
    void jobs.submit(job(1));
    await expect(jobs.submit(job(2, { deadlineMs: performance.now() + 1 }))).rejects.toMatchObject({
      code: 'budget-overrun',
    });
    expect(levels()).toEqual([1]);
    expect(jobs.queueLength).toBe(0);
  });

  test('a deadline that has passed at submission is refused at once', async () => {
    const { jobs, levels } = scriptedScheduler();
    await expect(jobs.submit(job(1, { deadlineMs: performance.now() }))).rejects.toMatchObject({
      code: 'budget-overrun',
    });
    expect(levels()).toEqual([]);
  });

  test('a deadline that passes after dispatch does not take the answer away', async () => {
    vi.useFakeTimers();
    const { jobs, running } = scriptedScheduler();
    const result = jobs.submit(job(1, { deadlineMs: performance.now() + 5 }));
    vi.advanceTimersByTime(10);
    running[0]!.end(RESULT);
    await expect(result).resolves.toMatchObject({ executeMs: 1 });
  });

  test('a client that goes away takes its waiting job with it', async () => {
    const { jobs, running, levels } = scriptedScheduler();
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
    const { jobs } = scriptedScheduler({ limit: 1 });
    void jobs.submit(job(1));
    void jobs.submit(job(2));
    await expect(jobs.submit(job(3))).rejects.toMatchObject({ code: 'queue-full' });
    expect(jobs.queueLength).toBe(1);
  });

  test('threads that do not start refuse what waits and what comes', async () => {
    const { jobs, state } = scriptedScheduler({ workers: 0 });
    const waiting = expect(jobs.submit(job(1))).rejects.toMatchObject({ code: 'backend-unavailable' });
    state.fault = new SppError('backend-unavailable', 'no threads');
    jobs.pump();
    await waiting;
    await expect(jobs.submit(job(2))).rejects.toMatchObject({ code: 'backend-unavailable' });
  });

  test('closing refuses what waits and lets what runs finish', async () => {
    const { jobs, running } = scriptedScheduler();
    const first = jobs.submit(job(1));
    const second = expect(jobs.submit(job(2))).rejects.toMatchObject({ code: 'draining' });
    jobs.close(new SppError('draining', 'stopping'));
    await second;
    running[0]!.end(RESULT);
    await expect(first).resolves.toMatchObject({ executeMs: 1 });
  });

  test.each([
    { what: 'behind runs that are long at their level', executeMs: 25, next: 0 },
    { what: 'on a machine that stands still, which no level makes good', executeMs: 120, next: 1 },
    { what: 'and fails, as its client may make it do', executeMs: undefined, next: 1 },
  ])('runs sparser levels, or not, after who was late $what', async ({ executeMs, next }) => {
    vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] });
    const times = (level: number) => taking(level === 1 ? 8 : 1)(level, 1, 0);
    const { jobs, running, levels } = scriptedScheduler({ times });
    const submit = () => jobs.submit(job(1, { minLevel: 0, deadlineMs: performance.now() + 20 }));
    for (let i = 0; i < 10; i++) {
      const result = submit();
      await vi.advanceTimersByTimeAsync(executeMs ?? 25);
      running.at(-1)!.end(executeMs === undefined ? new Error('no such token') : { ...RESULT, executeMs });
      await result.catch(() => {});
      await vi.advanceTimersByTimeAsync(1000);
    }
    const last = submit();
    expect(levels().at(-1)).toBe(next);
    running.at(-1)!.end(RESULT);
    await last;
  });
});
