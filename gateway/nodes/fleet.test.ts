import { describe, expect, test } from 'vitest';
import type { NodeReport } from '../../schema/node-report.ts';
import type { NodeAddress } from '../settings.ts';
import { fleet } from './fleet.ts';

const addresses = [
  { name: 'a', url: 'http://a' },
  { name: 'b', url: 'http://b' },
];

function report(node: string, over: Partial<NodeReport> = {}): NodeReport {
  const profile = { device: 'cpu', threads: 1, batch: 1, samples: 30, p50Ms: 2, p95Ms: 3, p99Ms: 4 };
  return {
    node,
    state: 'ready',
    reportedAtMs: 0,
    workers: 2,
    queueLength: 0,
    inFlight: 0,
    models: [
      { model: 'm', artifactVersion: 'v1', levels: [{ level: 0, resident: true, profiles: [profile] }] },
    ],
    ...over,
  };
}

/** A fleet under a hand-driven clock, whose nodes answer as `answers` says; an answer takes 1 ms. */
function bench(names: readonly NodeAddress[] = addresses.slice(0, 1)) {
  const state = { nowMs: 1_000_000 };
  const asked: string[] = [];
  const work: Promise<unknown>[] = [];
  const answers: Record<string, () => NodeReport | Promise<NodeReport>> = {};
  for (const { name } of names) answers[name] = () => report(name);
  const all = fleet({
    nodes: names,
    now: () => state.nowMs,
    fetchReport: async ({ name }) => {
      asked.push(name);
      const answer = await (answers[name] as () => NodeReport | Promise<NodeReport>)();
      state.nowMs += 1;
      return answer;
    },
  });
  const refresh = async () => {
    await all.refresh({ waitUntil: (promise) => void work.push(promise) });
  };
  const settle = () => Promise.all(work.splice(0));
  return { all, state, asked, answers, refresh, settle };
}

const reasons = (all: ReturnType<typeof fleet>) => all.options('m', 'v1').map(({ unusable }) => unusable);

describe('the fleet', () => {
  test('waits for a first report, and measures the way there without the first connection', async () => {
    const { all, asked, refresh } = bench();
    expect(reasons(all)).toEqual(['has not reported yet']);
    await refresh();
    expect(reasons(all)).toEqual([undefined]);
    expect(asked).toEqual(['a', 'a']);
    expect(all.options('m', 'v1')[0]).toMatchObject({
      network: { p50Ms: 1, p95Ms: 1, p99Ms: 1 },
      workers: 2,
      load: 0,
      serviceMs: 2,
    });
  });

  test('asks again in the background once a report is a second old', async () => {
    const { all, asked, state, answers, refresh, settle } = bench();
    await refresh();
    state.nowMs += 990;
    await refresh();
    expect(asked).toHaveLength(2);
    state.nowMs += 10;
    let answer = (_: NodeReport) => {};
    answers.a = () =>
      new Promise<NodeReport>((resolve) => {
        answer = resolve;
      });
    await refresh();
    await refresh();
    expect(asked).toHaveLength(3);
    expect(reasons(all)).toEqual([undefined]);
    answer(report('a', { state: 'draining' }));
    await settle();
    expect(reasons(all)).toEqual(['is draining']);
  });

  test('a node marked down is asked again after half a second and comes back', async () => {
    const { all, asked, state, refresh } = bench();
    await refresh();
    all.markDown('a', 'lost the connection');
    await refresh();
    expect(reasons(all)).toEqual(['lost the connection']);
    expect(asked).toHaveLength(2);
    state.nowMs += 500;
    await refresh();
    expect(reasons(all)).toEqual([undefined]);
  });

  test('a node that cannot be asked is down, and costs no one a wait until the next try', async () => {
    const { all, asked, state, answers, refresh, settle } = bench();
    answers.a = () => Promise.reject(new Error('cannot be reached'));
    await refresh();
    expect(reasons(all)).toEqual(['cannot be reached']);
    await refresh();
    expect(asked).toHaveLength(1);
    state.nowMs += 500;
    await refresh();
    await settle();
    expect(asked).toHaveLength(2);
    expect(all.view()[0]).toMatchObject({ usable: false, reason: 'cannot be reached' });
  });

  test('a failure seen while a report is under way outlives that report', async () => {
    const { all, state, answers, refresh, settle } = bench();
    await refresh();
    state.nowMs += 1000;
    let answer = (_: NodeReport) => {};
    answers.a = () =>
      new Promise<NodeReport>((resolve) => {
        answer = resolve;
      });
    await refresh();
    state.nowMs += 5;
    all.markDown('a', 'lost the connection');
    answer(report('a'));
    await settle();
    expect(reasons(all)).toEqual(['lost the connection']);
  });

  test('waits for the first node that answers, not for all', async () => {
    const { all, answers, refresh } = bench(addresses);
    answers.b = () => new Promise(() => {});
    await refresh();
    expect(reasons(all)).toEqual([undefined, 'has not reported yet']);
  });

  test('an old report is not believed without asking', async () => {
    const { all, asked, state, refresh } = bench();
    await refresh();
    state.nowMs += 10_000;
    expect(reasons(all)).toEqual(['has not reported for a while']);
    await refresh();
    expect(reasons(all)).toEqual([undefined]);
    expect(asked).toHaveLength(3);
  });

  test('load is what others had there at the report plus what is ours now', async () => {
    const { all, state, answers, refresh, settle } = bench();
    await refresh();
    const done = [all.begin('a'), all.begin('a')];
    answers.a = () => report('a', { queueLength: 3, inFlight: 2 });
    state.nowMs += 1000;
    await refresh();
    await settle();
    expect(all.options('m', 'v1')[0]?.load).toBe(5);
    for (const over of [...done, ...done]) over();
    expect(all.options('m', 'v1')[0]?.load).toBe(3);
  });

  test('a node of another version or model is named as such', async () => {
    const { all, refresh } = bench();
    await refresh();
    expect([...all.liveVersions('m')]).toEqual(['v1']);
    expect(all.options('m', 'v2')[0]?.unusable).toBe('serves version v1');
    expect(all.options('other', 'v1')[0]?.unusable).toBe('does not serve other');
  });

  test('own measurements replace the reported ones once there are enough, and grow old', async () => {
    const { all, state, refresh } = bench();
    await refresh();
    const sample = { version: 'v1', level: 0, batch: 1, networkMs: 7, executeMs: 9 };
    for (let i = 0; i < 31; i++) all.record('a', sample);
    const times = () => all.options('m', 'v1')[0]?.times.get(0)?.[0]?.p50Ms;
    expect(times()).toBe(2);
    all.record('a', sample);
    expect(times()).toBe(9);
    expect(all.options('m', 'v1')[0]?.network.p95Ms).toBe(7);
    state.nowMs += 60_000;
    expect(times()).toBe(2);
    expect(all.options('m', 'v1')[0]?.network.p95Ms).toBe(1);
  });
});
