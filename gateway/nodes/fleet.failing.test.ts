import { describe, expect, test } from 'vitest';
import { addresses, answered, bench, broken, cutOff, reasons, spec } from './fleet.fixture.ts';
import type { NodeAddress } from './node-address.ts';
import type { Outcome } from './outcome.ts';

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

  test('is not one that answers others meanwhile: what is late then waited behind them', async () => {
    const { all, state, refresh, settle, send, background } = bench(addresses);
    await refresh();
    await settle();
    const waiting = Array.from({ length: 20 }, () => all.begin('a', background));
    state.nowMs += 50;
    send('a', answered());
    state.nowMs += 50;
    for (const over of waiting) over(cutOff(100));
    expect(reasons(all)).toEqual([undefined, undefined]);
    const stuck = Array.from({ length: 20 }, () => all.begin('b', background));
    state.nowMs += 100;
    for (const over of stuck) over(cutOff(100));
    expect(reasons(all)).toEqual([undefined, 'fails too many requests']);
  });

  test('is not one that says itself that a request ran out of time', async () => {
    const { all, refresh, settle, send } = bench(addresses);
    await refresh();
    await settle();
    send('a', { ...cutOff(100, false), answered: true } as Outcome, 20);
    expect(reasons(all)).toEqual([undefined, undefined]);
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

test('runs have to leave more room once a promised budget was missed, and only then', async () => {
  const { all, refresh, background } = bench();
  await refresh();
  const end = (outcome: Outcome, promised?: number) => {
    all.begin('a', background, { promised })(outcome);
    return all.caution();
  };
  expect(end(cutOff(100))).toBe(1);
  expect(end(cutOff(1, false), 0.99)).toBe(1);
  expect(end(broken, 0.99)).toBe(1);
  const cautious = end(cutOff(100), 0.99);
  expect(cautious).toBeGreaterThan(1);
  expect(end(answered(), 0.99)).toBeLessThan(cautious);
});
