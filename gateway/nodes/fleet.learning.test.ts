import { describe, expect, test } from 'vitest';
import { answered, bench, cutOff, predicted, spec } from './fleet.fixture.ts';
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
    const kind = { model: 'm', version: 'v1', batch: 3 };
    expect(wayOf(500 + all.answerBytes(kind))).toBeCloseTo(4, 4);
    expect(all.view()[0]?.networkMs?.p50Ms).toBeCloseTo(2, 4);
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
