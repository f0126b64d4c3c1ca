import { describe, expect, test } from 'vitest';
import { answered, bench, cutOff, predicted, report, spec } from './fleet.fixture.ts';
import type { Outcome } from './outcome.ts';

describe('what is learned of a node', () => {
  test('replaces what it reports once it is enough, mixes with it before, and grows old', async () => {
    const { all, state, refresh, send } = bench();
    await refresh();
    send('a', answered(), 7);
    state.nowMs += 250;
    expect(predicted(all)).toMatchObject({ networkMs: 7, executeMs: 3 });
    send('a', answered(), 13);
    state.nowMs += 250;
    // Three times as slow as it says, with the spread that it says, until its own is known.
    expect(predicted(all).executeMs).toBeGreaterThan(9);
    expect(predicted(all).executeMs).toBeLessThan(11);
    send('a', answered(), 20);
    state.nowMs += 250;
    expect(predicted(all).executeMs).toBeCloseTo(9, 4);
    state.nowMs += 60_000;
    send('a', answered({ executeMs: 100 }));
    state.nowMs += 250;
    expect(predicted(all).executeMs).toBe(3);
  });

  test('is worked out once for what is asked again and again, however many others are asked between', async () => {
    const { all, refresh } = bench();
    await refresh();
    const table = all.table(spec());
    for (let batch = 2; batch < 500; batch++) {
      all.table({ ...spec(), batch });
      expect(all.table(spec())).toBe(table);
    }
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

  test('tells a large body from a small one, and takes the answer for a part of the way', async () => {
    const { all, state, refresh, send } = bench();
    await refresh();
    send('a', answered({ networkMs: 2, requestBytes: 1000 }), 7);
    send('a', answered({ networkMs: 10, requestBytes: 500_000, answerBytes: 100_000 }), 7);
    send('a', answered({ networkMs: 4, requestBytes: 500, answerBytes: 100_000, batch: 3 }), 7);
    state.nowMs += 250;
    const wayOf = (hopBytes: number) => all.table({ ...spec(), hopBytes }).networkMs[0];
    expect(wayOf(1000)).toBeCloseTo(2, 4);
    expect(wayOf(600_000)).toBeCloseTo(10, 4);
    expect(wayOf(1000)).toBeCloseTo(2, 4);
    const kind = { model: 'm', version: 'v1', batch: 3, length: 0 };
    expect(wayOf(500 + all.answerBytes(kind))).toBeCloseTo(4, 4);
    expect(all.view()[0]?.networkMs?.p50Ms).toBeCloseTo(2, 4);
  });

  test('keeps two models apart whose versions have one name', async () => {
    const { all, answers, state, refresh, send } = bench();
    const [served] = report('a').models;
    answers.a = () => report('a', { models: ['m', 'other'].map((model) => ({ ...served!, model })) });
    await refresh();
    const executeMs = (model: string) => all.table(spec('v1', model)).executeMs[0];
    for (const model of ['m', 'other']) expect(executeMs(model)).toBe(3);
    send('a', answered({ executeMs: 3 }), 40);
    send('a', answered({ executeMs: 30, model: 'other' }), 40);
    state.nowMs += 250;
    expect(executeMs('m')).toBeCloseTo(3, 4);
    expect(executeMs('other')).toBeCloseTo(30, 3);
  });

  describe('by the length of sequences', () => {
    const profile = { device: 'cpu', threads: 1, batch: 1, samples: 30 };
    const byLength = [
      { ...profile, length: 16, p50Ms: 2, p95Ms: 2, p99Ms: 2 },
      { ...profile, length: 256, p50Ms: 40, p95Ms: 40, p99Ms: 40 },
    ];
    const all = { ...profile, p50Ms: 20, p95Ms: 40, p99Ms: 40 };
    const of = (lengthProfiles: typeof byLength | undefined) => ({
      ...report('a'),
      models: [
        {
          model: 'm',
          artifactVersion: 'v1',
          levels: [{ level: 0, resident: true, profiles: [all], ...(lengthProfiles && { lengthProfiles }) }],
        },
      ],
    });
    const executeMs = (fleet: ReturnType<typeof bench>['all'], length: number) =>
      fleet.table({ ...spec(), length }).executeMs[0];

    test('runs are predicted by what the node reports of that length, and over all without one', async () => {
      const { all: fleet, answers, refresh } = bench();
      answers.a = () => of(byLength);
      await refresh();
      expect([16, 256, 0].map((length) => executeMs(fleet, length))).toEqual([2, 40, 40]);
    });

    test('a node that reports nothing by length is predicted over all lengths, measured ones too', async () => {
      const { all: fleet, answers, state, refresh, send } = bench();
      answers.a = () => of(undefined);
      await refresh();
      expect(executeMs(fleet, 16)).toBe(40);
      send('a', answered({ executeMs: 7, length: 16 }), 40);
      state.nowMs += 250;
      expect(executeMs(fleet, 16)).toBeCloseTo(7, 4);
      expect(executeMs(fleet, 256)).toBeCloseTo(7, 4);
    });

    test('long runs do not make short ones look slow, nor the node', async () => {
      const { all: fleet, answers, state, refresh, send } = bench();
      answers.a = () => of(byLength);
      await refresh();
      for (const length of [16, 256]) executeMs(fleet, length);
      send('a', answered({ executeMs: 40, length: 256 }), 40);
      state.nowMs += 250;
      expect(executeMs(fleet, 16)).toBeCloseTo(2, 4);
      send('a', answered({ executeMs: 5, length: 16 }), 40);
      send('a', { ...cutOff(9, false), length: 16 } as Outcome, 20);
      state.nowMs += 250;
      expect(executeMs(fleet, 16)).toBeCloseTo(9, 4);
      expect(executeMs(fleet, 256)).toBeGreaterThan(39);
    });
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
