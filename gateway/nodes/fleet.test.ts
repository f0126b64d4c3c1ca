import { describe, expect, test } from 'vitest';
import type { NodeReport } from '../../schema/node-report.ts';
import { free } from '../selector/candidates.ts';
import { fleet, type Outcome } from './fleet.ts';
import type { NodeAddress } from './node-address.ts';
import { LateReport } from './report-client.ts';
import type { TableSpec } from './table-cache.ts';

const addresses: NodeAddress[] = ['a', 'b'].map((name) => ({
  name,
  url: `http://${name}`,
  nodeClass: 'default',
  draining: false,
}));

const spec = (version = 'v1', model = 'm'): TableSpec => ({
  model,
  version: { version, levels: [{ level: 0, quality: 0.9, sparsity: 0, flops: 1 }] },
  quantile: 0.95,
  batch: 1,
  priceOf: free,
  policyVersion: 1,
});

const answered = (over: Partial<Extract<Outcome, { kind: 'answered' }>['sample']> = {}): Outcome => ({
  kind: 'answered',
  sample: {
    version: 'v1',
    level: 0,
    batch: 1,
    networkMs: 7,
    queueMs: 0,
    expectedQueueMs: 0,
    executeMs: 9,
    ...over,
  },
});
const lost: Outcome = { kind: 'failed', reason: 'lost the connection', unreachable: true };
const broken: Outcome = { kind: 'failed', reason: 'answers 500', unreachable: false };
const cutOff = (elapsedMs: number, fault = true): Outcome => ({
  kind: 'cut-off',
  version: 'v1',
  level: 0,
  batch: 1,
  executeMs: elapsedMs,
  expectedQueueMs: 0,
  fault,
});

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
  const background = { waitUntil: (promise: Promise<unknown>) => void work.push(promise) };
  const refresh = () => all.refresh(background);
  const settle = () => Promise.all(work.splice(0));
  /** Sends so many requests to a node, with this outcome each. */
  const send = (name: string, outcome: Outcome, times = 1) => {
    for (let i = 0; i < times; i++) all.begin(name, background)(outcome);
  };
  return { all, state, asked, answers, refresh, settle, send, background };
}

const reasons = (all: ReturnType<typeof fleet>, of = spec()) => [...all.table(of).unusable];
/** Of the first node. */
const predicted = (all: ReturnType<typeof fleet>) => {
  const { networkMs, waitMs, executeMs } = all.table(spec());
  return { networkMs: networkMs[0], waitMs: waitMs[0], executeMs: executeMs[0] };
};

describe('the fleet', () => {
  test('waits for a first report, and measures the way there without the first connection', async () => {
    const { all, asked, refresh } = bench();
    expect(reasons(all)).toEqual(['has not reported yet']);
    await refresh();
    expect(reasons(all)).toEqual([undefined]);
    expect(asked).toEqual(['a', 'a']);
    // The node says that executions take 3 ms at p95; nothing waits there.
    expect(predicted(all)).toEqual({ networkMs: 1, waitMs: 0, executeMs: 3 });
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

  test('a node that cannot be reached is out until it has been asked, which is at once', async () => {
    const { all, asked, refresh, settle, send } = bench();
    await refresh();
    send('a', lost);
    expect(reasons(all)).toEqual(['lost the connection']);
    await settle();
    expect(reasons(all)).toEqual([undefined]);
    expect(asked).toHaveLength(4);
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
    const { all, state, answers, refresh, settle, send } = bench();
    await refresh();
    state.nowMs += 1000;
    let answer = (_: NodeReport) => {};
    answers.a = () =>
      new Promise<NodeReport>((resolve) => {
        answer = resolve;
      });
    await refresh();
    state.nowMs += 5;
    send('a', lost);
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

  test('a burst on a fleet that was never heard of asks each node once, and waits for what comes late', async () => {
    const { all, asked, answers, settle, background } = bench();
    let answer = (_: NodeReport) => {};
    answers.a = () =>
      new Promise<NodeReport>((resolve) => {
        answer = resolve;
      });
    const burst = Array.from({ length: 20 }, () => all.refresh(background));
    await new Promise((done) => setTimeout(done, 20));
    expect(asked).toHaveLength(1);
    answers.a = () => report('a');
    answer(report('a'));
    await Promise.all(burst);
    expect(reasons(all)).toEqual([undefined]);
    await settle();
  });

  test('while no other node is usable, one that stays silent is asked again now and then', async () => {
    const { asked, state, answers, all, background } = bench();
    let pending = 0;
    answers.a = () => {
      pending++;
      return pending < 3 ? new Promise<NodeReport>(() => {}) : report('a');
    };
    const waiting = all.refresh(background);
    for (let i = 0; i < 2; i++) {
      await new Promise((done) => setTimeout(done, 15));
      expect(asked).toHaveLength(i + 1);
      state.nowMs += 250;
    }
    await waiting;
    expect(reasons(all)).toEqual([undefined]);
  });

  test('a node whose report is late is used by what it said last, until that is too old', async () => {
    const { all, state, answers, refresh, settle } = bench();
    answers.a = () => Promise.reject(new LateReport({}));
    await refresh();
    // Nothing is known of it: it cannot be used.
    expect(reasons(all)).toEqual(['does not answer within 5000 ms']);
    answers.a = () => report('a');
    state.nowMs += 500;
    await refresh();
    expect(reasons(all)).toEqual([undefined]);
    answers.a = () => Promise.reject(new LateReport({}));
    state.nowMs += 6000;
    await refresh();
    await settle();
    expect(reasons(all)).toEqual([undefined]);
    state.nowMs += 4000;
    expect(reasons(all)).toEqual(['has not reported for a while']);
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
    const { all, state, answers, refresh, settle, background } = bench();
    await refresh();
    const sent = { executeMs: 2 };
    const done = [all.begin('a', background, sent), all.begin('a', background, sent)];
    answers.a = () => report('a', { queueLength: 3, inFlight: 2 });
    state.nowMs += 1000;
    await refresh();
    await settle();
    // Ours are overdue, a tenth of their 2 ms is left; the three of others take 2 ms each at p50, two at a time.
    expect(predicted(all).waitMs).toBeCloseTo(0.2 + 3, 9);
    expect(all.pressure()).toBe(2.5);
    for (const over of [...done, ...done]) over({ kind: 'unknown' });
    expect(predicted(all).waitMs).toBe(2);
  });

  test('a node of another version or model is named as such', async () => {
    const { all, refresh } = bench();
    await refresh();
    expect(all.serves('m', 'v1')).toBe(true);
    expect(all.serves('m', 'v2')).toBe(false);
    expect(reasons(all, spec('v2'))).toEqual(['serves version v1']);
    expect(reasons(all, spec('v1', 'other'))).toEqual(['does not serve other']);
  });

  test('nodes come and go, and those that stay keep what was learned of them', async () => {
    const { all, refresh, settle } = bench();
    await refresh();
    all.setNodes([...addresses].map((address) => ({ ...address, draining: address.name === 'a' })));
    expect(reasons(all)).toEqual(['is taken out of service', 'has not reported yet']);
    all.setNodes([{ ...(addresses[0] as NodeAddress), url: 'http://elsewhere' }]);
    expect(reasons(all)).toEqual(['has not reported yet']);
    await refresh();
    await settle();
    expect(reasons(all)).toEqual([undefined]);
  });
});

describe('what is learned of a node', () => {
  test('replaces what it reports once it is enough, mixes with it before, and grows old', async () => {
    const { all, state, refresh, send } = bench();
    await refresh();
    send('a', answered(), 7);
    state.nowMs += 250;
    expect(predicted(all)).toMatchObject({ networkMs: 7, executeMs: 3 });
    send('a', answered(), 13);
    state.nowMs += 250;
    expect(predicted(all).executeMs).toBeGreaterThan(5);
    expect(predicted(all).executeMs).toBeLessThan(7);
    send('a', answered(), 20);
    state.nowMs += 250;
    expect(predicted(all).executeMs).toBeCloseTo(9, 4);
    state.nowMs += 60_000;
    send('a', answered({ executeMs: 100 }));
    state.nowMs += 250;
    expect(predicted(all).executeMs).toBe(3);
  });

  test('is taken in now and then, not with each request', async () => {
    const { all, state, refresh, send } = bench();
    await refresh();
    state.nowMs += 250;
    send('a', answered(), 40);
    expect(predicted(all).executeMs).toBeCloseTo(9, 4);
    send('a', answered({ executeMs: 90 }), 400);
    expect(predicted(all).executeMs).toBeCloseTo(9, 4);
    state.nowMs += 250;
    expect(predicted(all).executeMs).toBeCloseTo(90, 3);
  });

  test('counts what was cut off, which never came back to say how long it takes', async () => {
    const { all, state, refresh, send } = bench();
    await refresh();
    send('a', answered({ executeMs: 2 }), 40);
    send('a', cutOff(50, false), 10);
    state.nowMs += 250;
    expect(predicted(all).executeMs).toBeGreaterThan(45);
  });

  test('a cut-off behind others tells of the wait, one on a free node of the execution, a short one of neither', async () => {
    const { all, state, refresh, send } = bench();
    await refresh();
    send('a', answered({ executeMs: 2 }), 40);
    send('a', { ...cutOff(50, false), expectedQueueMs: 5 } as Outcome, 10);
    send('a', cutOff(1, false), 100);
    state.nowMs += 250;
    expect(predicted(all).executeMs).toBeCloseTo(2, 3);
    send('a', cutOff(50, false), 10);
    state.nowMs += 250;
    expect(predicted(all).executeMs).toBeGreaterThan(45);
  });

  test('learns that a node runs requests together, which makes waits shorter than one after the other', async () => {
    const { all, state, refresh, send, background } = bench();
    await refresh();
    send('a', answered({ queueMs: 5, expectedQueueMs: 20 }), 10);
    state.nowMs += 250;
    predicted(all);
    const overs = Array.from({ length: 4 }, () => all.begin('a', background, { executeMs: 20 }));
    // One after the other it would be 40.
    expect(predicted(all).waitMs).toBeLessThan(30);
    expect(predicted(all).waitMs).toBeGreaterThan(10);
    for (const over of overs) over({ kind: 'unknown' });
  });

  test('holds waits that load does not explain', async () => {
    const { all, state, refresh, send } = bench();
    await refresh();
    send('a', answered({ queueMs: 1, expectedQueueMs: 4 }), 20);
    state.nowMs += 250;
    expect(predicted(all).waitMs).toBe(0);
    send('a', answered({ queueMs: 6 }), 20);
    state.nowMs += 250;
    expect(predicted(all).waitMs).toBeCloseTo(6, 3);
  });
});

describe('a node that fails requests', () => {
  test('is left out after enough of them, shown one at a time whether it still does, and taken back', async () => {
    const { all, state, refresh, settle, send, background } = bench(addresses);
    await refresh();
    await settle();
    send('a', broken, 4);
    expect(reasons(all)).toEqual([undefined, undefined]);
    send('a', broken);
    expect(reasons(all)).toEqual(['fails too many requests', undefined]);
    expect(all.probeTarget(spec(), 'b', false)).toBeUndefined();
    state.nowMs += 1000;
    expect(all.probeTarget(spec(), 'b', false)).toBe('a');
    const trial = all.begin('a', background, { probe: true });
    expect(all.probeTarget(spec(), 'b', false)).toBeUndefined();
    trial(answered());
    send('a', answered());
    expect(reasons(all)).toEqual([undefined, undefined]);
  });

  test('still serves where there is no other', async () => {
    const { all, refresh, send } = bench();
    await refresh();
    send('a', broken, 10);
    expect(all.view()[0]).toMatchObject({ usable: false, breaker: 'open' });
    expect(reasons(all)).toEqual([undefined]);
    expect([...all.table(spec(), new Map([['a', 'tried']])).unusable]).toEqual(['tried']);
  });

  test('counts as failing only where it had the time that was predicted', async () => {
    const { all, refresh, settle, send } = bench(addresses);
    await refresh();
    await settle();
    send('a', cutOff(1, false), 20);
    expect(reasons(all)).toEqual([undefined, undefined]);
    send('b', cutOff(100), 20);
    expect(reasons(all)).toEqual([undefined, 'fails too many requests']);
  });

  test('one that nothing was learned of lately is probed, the longest unheard of first', async () => {
    const { all, state, refresh, settle, send } = bench([
      ...addresses,
      { ...(addresses[0] as NodeAddress), name: 'c' },
    ]);
    await refresh();
    await settle();
    send('b', answered());
    state.nowMs += 1;
    send('c', answered());
    expect(all.probeTarget(spec(), 'a', true)).toBeUndefined();
    state.nowMs += 5000;
    expect(all.probeTarget(spec(), 'a', true)).toBe('b');
    expect(all.probeTarget(spec(), 'a', false)).toBeUndefined();
    expect(all.probeTarget(spec('v2'), 'a', true)).toBeUndefined();
  });
});
