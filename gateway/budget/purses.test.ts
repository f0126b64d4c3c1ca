import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ApiKeyRow } from '../../schema/db/tables.ts';
import { Ledger } from './ledger.ts';
import { type LimitsContext, reserveCost } from './limits.ts';
import { accountOf, purses } from './purses.ts';

beforeEach(() => void vi.useFakeTimers({ now: 1_800_000_000_000 }));
afterEach(() => void vi.useRealTimers());

const key = {
  id: 'key_1',
  budget: { nanoUsd: 1_000_000, period: 'total' },
  rateLimit: null,
  budgetRevision: 0,
} as unknown as ApiKeyRow;

/** What work behind an answer may take at most before the runtime drops it. */
const BEHIND_MS = 30_000;

/**
 * An isolate before a ledger in memory, in a runtime that keeps no work for longer than it says.
 * @param answerMs that the ledger's answers take
 */
function world(answerMs = 0) {
  const db = new DatabaseSync(':memory:');
  const exec = (query: string, ...values: (string | number | null)[]) =>
    db.prepare(query).all(...values) as Record<string, unknown>[];
  const ledger = new Ledger({ exec });
  const errors: unknown[] = [];
  let exchanges = 0;
  const begun: Promise<number>[] = [];
  const under = new Set<Promise<unknown>>();
  const all = purses({
    ledgerOf: () => ({
      exchange: async (message) => {
        exchanges++;
        const answer = ledger.exchange(message, Date.now());
        if (answerMs > 0) await new Promise((done) => setTimeout(done, answerMs));
        return answer;
      },
      view: async (account) => ledger.view(account, Date.now()),
    }),
    now: Date.now,
    onError: (error) => void errors.push(error),
  });
  const background = {
    waitUntil(work: Promise<unknown>) {
      const sinceMs = Date.now();
      under.add(work);
      begun.push(work.then(() => Date.now() - sinceMs));
      void work.then(() => under.delete(work));
    },
  };
  const account = accountOf(key, 'cost');
  if (account === undefined) throw new Error('The key has a budget.');
  return {
    reserve: async (units: number) => {
      const context: LimitsContext = { purses: all, background, nowMs: Date.now() };
      return reserveCost(key, units, context);
    },
    asked: () => exchanges,
    view: () => ledger.view(account, Date.now()),
    behindMs: async () => Math.max(...(await Promise.all(begun))),
    /** How much work goes on behind answers now. */
    kept: () => under.size,
    errors,
  };
}

test.each([1, 5, 12, 24, 25, 26, 40, 51])(
  'what traffic leaves over when it ends after %i s goes back to the ledger',
  async (seconds) => {
    const { reserve, view, behindMs, errors } = world();
    for (let ms = 0; ms < seconds * 1000; ms += 100) {
      (await reserve(1000)).settle(1);
      await vi.advanceTimersByTimeAsync(100);
    }
    await vi.advanceTimersByTimeAsync(60_000);
    expect(view()).toMatchObject({ spent: seconds * 10, leased: 0, inDoubt: 0 });
    expect(await behindMs()).toBeLessThan(BEHIND_MS);
    expect(errors).toEqual([]);
  },
);

test('a request is kept by the runtime until it is said what became of its money', async () => {
  const { reserve, kept } = world();
  const [settled, refunded] = [await reserve(1), await reserve(1)];
  expect(kept()).toBeGreaterThanOrEqual(2);
  settled.settle(1);
  refunded.refund();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(kept()).toBe(0);
});

test('so is one that asks the ledger, though its client is answered meanwhile: a lease that nobody heard of would count as spent', async () => {
  const { reserve, asked, view, kept } = world(50);
  // The runtime lets go of whoever has been answered and is not kept.
  void reserve(100);
  await vi.advanceTimersByTimeAsync(10);
  expect(kept()).toBe(1);
  await vi.advanceTimersByTimeAsync(40);
  expect(view().leased).toBeGreaterThan(0);
  const before = asked();
  void reserve(100);
  await vi.advanceTimersByTimeAsync(0);
  expect(asked()).toBe(before);
});

test.each([10, 20, 40])('so does what is left of a request that takes %i s', async (seconds) => {
  const { reserve, view } = world();
  const reservation = await reserve(100);
  await vi.advanceTimersByTimeAsync(seconds * 1000);
  reservation.settle(30);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(view()).toMatchObject({ spent: 30, leased: 0 });
});

test('the purse used longest ago goes when there are many, but for one that a ledger has still to take back', async () => {
  const exchange = async () => ({
    granted: 10,
    remaining: 0,
    leased: 10,
    limit: 10,
    endsAtMs: null,
    expiresAtMs: Number.POSITIVE_INFINITY,
  });
  const all = purses({
    ledgerOf: () => ({ exchange, view: () => Promise.reject(new Error('unused')) }),
    now: Date.now,
    onError: () => {},
  });
  const of = (id: number) => all.of({ ...key, id: String(id) }, 'cost');
  const [open, idle] = [of(0), of(1)];
  await open?.take(1);
  for (let id = 2; id < 20_002; id++) of(id);
  expect(of(0)).toBe(open);
  expect(of(1)).not.toBe(idle);
});
