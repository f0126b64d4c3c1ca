import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from 'vitest';
import { type Account, type Exchange, Ledger } from './ledger.ts';

const HOUR_MS = 3_600_000;

/** A ledger over SQLite in memory; `reborn` is another one over the same tables, as after an eviction. */
function ledgerOn(db = new DatabaseSync(':memory:')) {
  const sql = {
    exec: (query: string, ...values: (string | number | null)[]) =>
      db.prepare(query).all(...values) as Record<string, unknown>[],
  };
  const rows = () =>
    Number(sql.exec('SELECT (SELECT count(*) FROM spent) + (SELECT count(*) FROM leases) AS n')[0]?.n);
  return { ledger: new Ledger(sql), rows, reborn: () => ledgerOn(db) };
}

const account: Account = { name: 'cost', limit: 100, period: 'hour', revision: 0 };
const lease = (id: string, need: number, want = need) => ({ id, need, want });
const exchange = (over: Partial<Exchange>): Exchange => ({ account, closes: [], ...over });

describe('the ledger', () => {
  test('leases an eighth of what remains, or what is needed, and nothing beyond the limit', () => {
    const { ledger } = ledgerOn();
    expect(ledger.exchange(exchange({ lease: lease('a', 1, 50) }), 0)).toMatchObject({
      granted: 12,
      remaining: 88,
    });
    expect(ledger.exchange(exchange({ lease: lease('b', 80) }), 0)).toMatchObject({
      granted: 80,
      remaining: 8,
    });
    expect(ledger.exchange(exchange({ lease: lease('c', 9) }), 0)).toMatchObject({ granted: 0, leased: 92 });
    expect(ledger.exchange(exchange({ lease: lease('c', 8, 50) }), 0)).toMatchObject({
      granted: 8,
      remaining: 0,
    });
  });

  test('takes back what was not spent, once, whatever is claimed', () => {
    const { ledger } = ledgerOn();
    ledger.exchange(exchange({ lease: lease('a', 60) }), 0);
    const back = exchange({ closes: [{ id: 'a', spent: 20 }] });
    expect(ledger.exchange(back, 0)).toMatchObject({ remaining: 80, leased: 0 });
    expect(ledger.exchange(back, 0)).toMatchObject({ remaining: 80 });
    ledger.exchange(exchange({ lease: lease('b', 30) }), 0);
    expect(ledger.exchange(exchange({ closes: [{ id: 'b', spent: 1000 }] }), 0)).toMatchObject({
      remaining: 50,
    });
    ledger.exchange(exchange({ lease: lease('c', 30) }), 0);
    expect(ledger.exchange(exchange({ closes: [{ id: 'c', spent: -5 }] }), 0)).toMatchObject({
      remaining: 50,
    });
  });

  test('knows a lease that is asked for again', () => {
    const { ledger } = ledgerOn();
    for (let i = 0; i < 3; i++)
      expect(ledger.exchange(exchange({ lease: lease('a', 60) }), 0)).toMatchObject({
        granted: 60,
        remaining: 40,
      });
  });

  test('outlives its object', () => {
    const first = ledgerOn();
    first.ledger.exchange(exchange({ lease: lease('a', 60) }), 0);
    const { ledger } = first.reborn();
    expect(ledger.exchange(exchange({ lease: lease('b', 41) }), 0)).toMatchObject({
      granted: 0,
      remaining: 40,
    });
    expect(ledger.exchange(exchange({ closes: [{ id: 'a', spent: 10 }] }), 0)).toMatchObject({
      remaining: 90,
    });
  });

  test('starts anew with each period; a lease of the last one counts there', () => {
    const { ledger } = ledgerOn();
    ledger.exchange(exchange({ lease: lease('a', 100) }), HOUR_MS - 1);
    const next = ledger.exchange(
      exchange({ lease: lease('b', 70), closes: [{ id: 'a', spent: 100 }] }),
      HOUR_MS,
    );
    expect(next).toMatchObject({ granted: 70, remaining: 30, endsAtMs: 2 * HOUR_MS });
    expect(ledger.exchange(exchange({}), 4 * HOUR_MS)).toMatchObject({ remaining: 100, leased: 0 });
  });

  test('never lets a lease outlive its period', () => {
    const { ledger } = ledgerOn();
    expect(ledger.exchange(exchange({ lease: lease('a', 1) }), HOUR_MS - 5).expiresAtMs).toBe(HOUR_MS);
  });

  test('counts what a dead isolate held as spent, says so, and believes it if it comes back after all', () => {
    const { ledger } = ledgerOn();
    ledger.exchange(exchange({ lease: lease('a', 60) }), 0);
    expect(ledger.view(account, HOUR_MS / 2)).toMatchObject({
      spent: 0,
      leased: 60,
      inDoubt: 60,
      remaining: 40,
    });
    ledger.exchange(exchange({ closes: [{ id: 'a', spent: 3 }] }), HOUR_MS / 2);
    expect(ledger.view(account, HOUR_MS / 2)).toMatchObject({
      spent: 3,
      leased: 0,
      inDoubt: 0,
      remaining: 97,
    });
    const forever = { ...account, period: 'total', revision: 1 } as const;
    ledger.exchange(exchange({ account: forever, lease: lease('b', 60) }), 0);
    ledger.exchange(exchange({ account: forever }), 30 * 24 * HOUR_MS);
    expect(ledger.view(forever, 30 * 24 * HOUR_MS)).toMatchObject({ spent: 60, leased: 0, remaining: 40 });
  });

  test('keeps what was spent and leased while its clock is ahead for a while', () => {
    const { ledger } = ledgerOn();
    ledger.exchange(exchange({ lease: lease('a', 60) }), 0);
    ledger.exchange(exchange({ lease: lease('b', 40), closes: [{ id: 'a', spent: 60 }] }), 1);
    ledger.exchange(exchange({ lease: lease('c', 100) }), 30 * 24 * HOUR_MS);
    expect(ledger.exchange(exchange({ lease: lease('d', 1) }), 2)).toMatchObject({
      granted: 0,
      remaining: 0,
    });
    // Whoever held it has been given up: what it says of it comes too late.
    ledger.exchange(exchange({ closes: [{ id: 'b', spent: 0 }] }), 3);
    expect(ledger.view(account, 3)).toMatchObject({ spent: 100, remaining: 0 });
  });

  test('keeps a bounded number of periods', () => {
    const { ledger, rows } = ledgerOn();
    for (let hour = 0; hour < 500; hour++)
      ledger.exchange(
        exchange({ lease: lease(`${hour}`, 10), closes: [{ id: `${hour - 1}`, spent: 1 }] }),
        hour * HOUR_MS,
      );
    expect(rows()).toBeLessThan(110);
  });

  test('goes by the newest limit that it was told of, in whatever order they come', () => {
    const { ledger } = ledgerOn();
    const smaller = { ...account, limit: 10, revision: 1 };
    expect(ledger.exchange(exchange({ account: smaller }), 0).remaining).toBe(10);
    expect(ledger.exchange(exchange({ lease: lease('a', 50) }), 0)).toMatchObject({ granted: 0, limit: 10 });
  });

  test('keeps accounts apart', () => {
    const { ledger } = ledgerOn();
    const rate: Account = { name: 'rate', limit: 5, period: { windowS: 60 }, revision: 0 };
    ledger.exchange(exchange({ lease: lease('a', 100) }), 0);
    expect(ledger.exchange(exchange({ account: rate, lease: lease('b', 5) }), 0)).toMatchObject({
      granted: 5,
    });
    expect(ledger.exchange(exchange({ account: rate, lease: lease('c', 1) }), 59_999)).toMatchObject({
      granted: 0,
    });
    expect(ledger.exchange(exchange({ account: rate, lease: lease('c', 1) }), 60_000)).toMatchObject({
      granted: 1,
    });
  });
});
