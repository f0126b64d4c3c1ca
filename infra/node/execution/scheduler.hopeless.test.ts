import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  echo,
  inputs,
  job,
  scriptedScheduler,
  settled,
  sharing,
  taking,
} from '../../../test/support/scripted-scheduler.ts';

afterEach(() => {
  vi.useRealTimers();
});

describe('scheduler, hopeless deadlines', () => {
  const inMs = (ms: number) => performance.now() + ms;

  test('refuses at once what no allowed level has ever been fast enough for', async () => {
    const { jobs, running } = scriptedScheduler({
      times: (level) => taking(1000 * (level + 1))(level, 1, 0),
    });
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
    const { jobs } = scriptedScheduler({ times: taking(10_000), maxRows: 1 });
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

  test.each([
    ['no time at all', 0, 'budget-overrun'],
    ['less than any run has ever taken', 500, 'budget-infeasible'],
  ])('what is refused for %s keeps nobody from sharing a run', async (_, budgetMs, code) => {
    const { jobs, running } = scriptedScheduler({ times: taking(1000) });
    const first = jobs.submit(sharing(1));
    for (const value of [2, 3, 4]) void jobs.submit(sharing(value));
    await expect(jobs.submit(sharing(5, { deadlineMs: inMs(budgetMs) }))).rejects.toMatchObject({ code });
    running[0]!.end(echo(running[0]!));
    await first;
    await settled();
    expect(inputs(running[1]!)).toEqual([2, 3, 4]);
  });

  test('refuses what waits as soon as no run could end in time, not only at its deadline', async () => {
    vi.useFakeTimers();
    const { jobs, levels } = scriptedScheduler({ times: taking(100) });
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
