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

describe('scheduler, sharing runs', () => {
  test('what has waited runs together, and each job gets its own rows back', async () => {
    const { jobs, running } = scriptedScheduler({ times: taking(1) });
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
    const { jobs, running, state } = scriptedScheduler({ workers: 0, times: taking(1) });
    for (const value of [1, 2, 3]) void jobs.submit(sharing(value));
    state.idle = 2;
    jobs.pump();
    expect(running.map(inputs)).toEqual([[1, 2], [3]]);
  });

  test('the earliest deadline goes first, whenever it came', async () => {
    const { jobs, levels, running } = scriptedScheduler();
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
    const { jobs, running } = scriptedScheduler({ times: taking(1) });
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
    const { jobs, running } = scriptedScheduler({ times: taking(1) });
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
    const { jobs, running } = scriptedScheduler({ times: taking(1) });
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

  test("an encoder's sequences and its decoder's, of two lengths, leave the shared run as they went in", async () => {
    const padded = { inputs: new Set(['source', 'target']), outputs: new Set(['source', 'target']) };
    const { jobs, running } = scriptedScheduler({ times: taking(1), padded });
    const tokens = (name: string, ...ids: number[]) => ({
      name,
      type: 'float32',
      dims: [1, ids.length],
      data: Float32Array.from(ids),
    });
    const pairs = [1, 2, 3].map((id) => [tokens('source', id, id, id, id), tokens('target', id, -id)]);
    const [first, ...others] = pairs.map((feeds) => jobs.submit(sharing(0, { feeds, length: 0 })));
    running[0]!.end(echo(running[0]!));
    await first;
    await settled();
    running[1]!.end(echo(running[1]!));
    const results = await Promise.all(others);
    expect(results.map(({ runRows, outputs }) => [runRows, outputs])).toEqual([
      [2, pairs[1]],
      [2, pairs[2]],
    ]);
  });

  test('a client that has gone is not served again when its shared run fails', async () => {
    const { jobs, running } = scriptedScheduler({ times: taking(1) });
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
