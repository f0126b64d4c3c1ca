import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Account, type Exchange, Ledger } from './ledger.ts';
import { Purse, type Taken } from './purse.ts';

const HOUR_MS = 3_600_000;

/** A ledger that is made anew over its tables before every call: an object that is evicted all the time. */
function world(
  limit: number,
  period: Account['period'] = 'hour',
  pause: () => Promise<void> = () => Promise.resolve(),
) {
  const db = new DatabaseSync(':memory:');
  const account: Account = { name: 'cost', limit, period, revision: 0 };
  const clock = { nowMs: 1000 };
  let ids = 0;
  const exec = (query: string, ...values: (string | number | null)[]) =>
    db.prepare(query).all(...values) as Record<string, unknown>[];
  const exchange = (message: Exchange) =>
    new Ledger({ exec }).exchange(structuredClone(message), clock.nowMs);
  const purse = (
    call: (message: Exchange) => Promise<ReturnType<typeof exchange>> = async (m) => exchange(m),
  ) =>
    new Purse({
      account: () => account,
      exchange: call,
      now: () => clock.nowMs,
      pause,
      newId: () => `lease-${ids++}`,
    });
  return { account, clock, exchange, purse, view: () => new Ledger({ exec }).view(account, clock.nowMs) };
}

const reserved = (taken: Taken) => (taken.kind === 'reserved' ? taken.reservation : undefined);

describe('a purse', () => {
  test('asks the ledger once for many requests', async () => {
    const here = world(1600);
    let calls = 0;
    const purse = here.purse(async (message) => {
      calls++;
      return here.exchange(message);
    });
    for (let i = 0; i < 16; i++) reserved(await purse.take(1))?.settle(1);
    expect(calls).toBe(1);
    expect(purse.standing()).toMatchObject({ limit: 1600, remaining: 1584 });
  });

  test('asks no more for what is spent, until there can be some: in the next period, with a larger limit, or less is wanted', async () => {
    const here = world(10);
    let calls = 0;
    const purse = here.purse(async (message) => {
      calls++;
      return here.exchange(message);
    });
    reserved(await purse.take(8))?.settle(8);
    await purse.maintain(true);
    const refusals = async (units: number, count: number) => {
      for (let i = 0; i < count; i++)
        expect(await purse.take(units)).toMatchObject({
          kind: 'exhausted',
          heldElsewhere: false,
          standing: { remaining: 2 },
        });
    };
    const asked = calls;
    await refusals(3, 100);
    expect(calls - asked).toBeLessThanOrEqual(1);
    const less = reserved(await purse.take(2));
    expect(less).toBeDefined();
    // What is set aside may come back: it is asked for.
    expect(await purse.take(1)).toMatchObject({ kind: 'exhausted', heldElsewhere: true });
    less?.refund();
    await purse.maintain(true);
    await refusals(3, 1);
    Object.assign(here.account, { limit: 12, revision: 1 });
    reserved(await purse.take(4))?.settle(4);
    await purse.maintain(true);
    expect(await purse.take(1)).toMatchObject({ kind: 'exhausted' });
    here.clock.nowMs = HOUR_MS;
    expect(reserved(await purse.take(12))).toBeDefined();
  });

  test('takes nothing more from what it got under a limit that was changed', async () => {
    const here = world(1600);
    const purse = here.purse();
    reserved(await purse.take(1))?.settle(1);
    const held = reserved(await purse.take(1));
    Object.assign(here.account, { limit: 3, revision: 1 });
    // As long as a request has hold of it nobody knows what is left.
    expect(await purse.take(1)).toMatchObject({ kind: 'exhausted', heldElsewhere: true });
    held?.settle(1);
    reserved(await purse.take(1))?.settle(1);
    expect(await purse.take(1)).toMatchObject({ kind: 'exhausted', standing: { limit: 3, remaining: 0 } });
    expect(here.view().remaining).toBe(0);
    Object.assign(here.account, { limit: 5, revision: 2 });
    reserved(await purse.take(2))?.settle(2);
    await purse.maintain(true);
    expect(here.view()).toMatchObject({ spent: 5, leased: 0, remaining: 0 });
  });

  test('gives back what was not spent of a reservation, what failed, and what is idle', async () => {
    const here = world(100);
    const purse = here.purse();
    const [a, b] = [reserved(await purse.take(40)), reserved(await purse.take(60))];
    expect(await purse.take(1)).toMatchObject({ kind: 'exhausted', heldElsewhere: true });
    a?.settle(10);
    a?.refund();
    b?.refund();
    reserved(await purse.take(90))?.settle(50);
    here.clock.nowMs += 2000;
    await purse.maintain();
    expect(here.view()).toMatchObject({ spent: 60, leased: 0, remaining: 40 });
  });

  test('spends the last units although they lie in several leases', async () => {
    const here = world(10);
    const purse = here.purse();
    for (const [take, spend] of [
      [7, 4],
      [6, 6],
    ] as const) {
      const reservation = reserved(await purse.take(take));
      expect(reservation).toBeDefined();
      reservation?.settle(spend);
    }
    expect(await purse.take(1)).toMatchObject({ kind: 'exhausted' });
    await purse.maintain(true);
    expect(here.view()).toMatchObject({ spent: 10, leased: 0 });
  });

  test('without the ledger’s word spends nothing, and loses nothing when it comes back', async () => {
    const here = world(100);
    let away = true;
    const purse = here.purse(async (message) => {
      const answer = here.exchange(message);
      if (away) throw new Error('the answer was lost');
      return answer;
    });
    await expect(purse.take(5)).rejects.toThrow('lost');
    away = false;
    expect(reserved(await purse.take(93))).toBeDefined();
  });

  test('stops using a lease when it ends, and a reservation that never ends counts as spent', async () => {
    const here = world(100);
    const purse = here.purse();
    await purse.take(10);
    here.clock.nowMs += 31_000;
    await purse.maintain();
    expect(here.view()).toMatchObject({ spent: 0 });
    here.clock.nowMs += 601_000;
    await purse.maintain();
    expect(here.view()).toMatchObject({ spent: 10, leased: 0 });
  });

  test('gives up where every lease has ended when it comes, as to a clock that is ahead of the ledger’s', async () => {
    const here = world(100);
    let calls = 0;
    const purse = here.purse(async (message) => {
      calls++;
      return { ...here.exchange(message), expiresAtMs: here.clock.nowMs };
    });
    expect(await purse.take(1)).toMatchObject({ kind: 'exhausted', heldElsewhere: true });
    expect(calls).toBeLessThan(100);
    await purse.maintain();
    expect(here.view()).toMatchObject({ spent: 0, leased: 0, remaining: 100 });
  });

  test('begins anew with a new period', async () => {
    const here = world(10);
    const purse = here.purse();
    reserved(await purse.take(10))?.settle(10);
    expect(await purse.take(1)).toMatchObject({ kind: 'exhausted' });
    here.clock.nowMs = HOUR_MS + 1;
    expect(purse.standing().remaining).toBe(10);
    reserved(await purse.take(10))?.settle(10);
    expect(await purse.take(1)).toMatchObject({ kind: 'exhausted' });
  });
});

/** What an isolate may come to do; `fate` is what becomes of a message to the ledger. */
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('take' as const),
      isolate: fc.nat(2),
      units: fc.integer({ min: 1, max: 12 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      at: fc.nat(50),
      share: fc.integer({ min: 0, max: 12 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('refund' as const), at: fc.nat(50) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('maintain' as const), isolate: fc.nat(2), all: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), isolate: fc.nat(2) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 40_000 }) }),
  },
);

test('a budget is never overspent, in whatever order and with whatever loss; what nobody lost is there in the end', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.integer({ min: 1, max: 60 }),
      fc.array(step, { minLength: 5, maxLength: 60 }),
      fc.infiniteStream(fc.constantFrom('kept', 'kept', 'kept', 'kept', 'kept', 'lost', 'answer lost')),
      async (scheduler, limit, steps, fates) => {
        const here = world(limit, 'total', () => scheduler.schedule(Promise.resolve(), 'a pause'));
        let faults = 0;
        /** Messages arrive, and answers come back, when and in what order the scheduler says. */
        const isolate = () =>
          here.purse(async (message) => {
            const fate = fates.next().value;
            await scheduler.schedule(Promise.resolve(), 'on the way there');
            if (fate === 'lost') faults++;
            if (fate === 'lost') throw new Error('the message was lost');
            const answer = here.exchange(message);
            await scheduler.schedule(Promise.resolve(), 'on the way back');
            if (fate === 'answer lost') faults++;
            if (fate === 'answer lost') throw new Error('the answer was lost');
            return answer;
          });
        const isolates = [isolate(), isolate(), isolate()];
        const open: { units: number; settle(units: number): void; refund(): void }[] = [];
        const work: Promise<unknown>[] = [];
        let spent = 0;
        let inUse = 0;
        for (const next of steps) {
          if (next.do === 'take') {
            const purse = isolates[next.isolate] as Purse;
            work.push(
              purse.take(next.units).then(
                (taken) => {
                  if (taken.kind !== 'reserved') return;
                  inUse += next.units;
                  expect(spent + inUse).toBeLessThanOrEqual(limit);
                  open.push({ units: next.units, ...taken.reservation });
                },
                () => {},
              ),
            );
          } else if (next.do === 'settle' || next.do === 'refund') {
            const [one] = open.splice(next.at % Math.max(1, open.length), 1);
            const units = next.do === 'settle' ? Math.min(next.share, one?.units ?? 0) : 0;
            if (next.do === 'settle') one?.settle(next.share);
            else one?.refund();
            inUse -= one?.units ?? 0;
            spent += units;
          } else if (next.do === 'maintain')
            work.push((isolates[next.isolate] as Purse).maintain(next.all).catch(() => {}));
          else if (next.do === 'crash') {
            // Its requests go on in the model: what a dead isolate served stays served.
            faults++;
            isolates[next.isolate] = isolate();
          } else here.clock.nowMs += next.ms;
          if (scheduler.count() > 0) await scheduler.waitOne();
        }
        await scheduler.waitFor(Promise.all(work));
        expect(here.view().remaining).toBeLessThanOrEqual(limit - spent);
        for (const one of open.splice(0)) one.refund();
        await scheduler.waitFor(Promise.all(isolates.map((purse) => purse.maintain(true).catch(() => {}))));
        if (faults === 0) expect(here.view()).toMatchObject({ spent, leased: 0, remaining: limit - spent });
      },
    ),
    { numRuns: 300 },
  );
});

test('of many requests at once exactly as many are served as the budget is for', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 7 }),
      async (scheduler, served, units) => {
        const here = world(served * units, 'hour', () => scheduler.schedule(Promise.resolve()));
        const purse = here.purse(async (message) => {
          await scheduler.schedule(Promise.resolve());
          const answer = here.exchange(message);
          await scheduler.schedule(Promise.resolve());
          return answer;
        });
        const takes = Promise.all(Array.from({ length: 2 * served }, () => purse.take(units)));
        const results = await scheduler.waitFor(takes);
        expect(results.filter(({ kind }) => kind === 'reserved')).toHaveLength(served);
      },
    ),
    { numRuns: 60 },
  );
});
