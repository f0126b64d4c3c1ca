/**
 * The one place that knows what a key has spent. It hands out leases: amounts that an isolate may spend without asking.
 *
 *   limit = spent + leased + remaining        in each account and period, at every moment
 *
 * A lease counts in full until the isolate that has it says what of it was spent. One whose isolate died counts as spent
 * for good: how much of it was cannot be known, and a budget is never overspent. Amounts are whole units (nano-dollars,
 * requests) below 2^53. Synchronous over SQLite, so nothing comes between the statements of one call.
 */
import { type Period, periodAt } from './period.ts';

/** What the ledger needs of SQLite. */
export interface Sql {
  exec(query: string, ...values: (string | number | null)[]): Record<string, unknown>[];
}

export interface Account {
  readonly name: 'cost' | 'rate';
  readonly limit: number;
  readonly period: Period;
  /** Of two limits that the ledger is told, the one with the higher revision holds. */
  readonly revision: number;
}

export interface Exchange {
  readonly account: Account;
  readonly lease?:
    | {
        readonly id: string;
        /** With less than this the isolate can do nothing. */
        readonly need: number;
        /** What it would like to have, to come less often. */
        readonly want: number;
      }
    | undefined;
  /** Leases that are given back, with what of each was spent. */
  readonly closes: readonly { readonly id: string; readonly spent: number }[];
}

export interface ExchangeAnswer {
  /** 0 when `need` cannot be had. */
  readonly granted: number;
  /** After the grant, for all who may come. */
  readonly remaining: number;
  /** Leased and not yet accounted for, this grant included. */
  readonly leased: number;
  readonly limit: number;
  readonly endsAtMs: number | null;
  /** From then on nothing may be taken from the lease any more. */
  readonly expiresAtMs: number;
}

/** What an operator sees of an account in its current period. */
export interface LedgerView {
  readonly limit: number;
  readonly spent: number;
  readonly leased: number;
  /** Leased, expired, and never accounted for. */
  readonly inDoubt: number;
  readonly remaining: number;
  readonly endsAtMs: number | null;
}

/** An isolate gets at most this part of what remains, so that others find something too. */
const LARGEST_PART = 8;
const LEASE_MS = 30_000;
/** A lease that nobody has closed so long after its period's end counts as spent and is forgotten. */
const GRACE_MS = 3_600_000;
/** The same after its own end, in a period without one. */
const DOUBT_MS = 7 * 86_400_000;
/** Of each account the newest so many, and all that ended only lately. */
const PERIODS_KEPT = 100;

export class Ledger {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
    sql.exec(
      'CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, units INTEGER NOT NULL, period TEXT NOT NULL, revision INTEGER NOT NULL)',
    );
    sql.exec(
      'CREATE TABLE IF NOT EXISTS spent (account TEXT NOT NULL, period TEXT NOT NULL, units INTEGER NOT NULL, ends_ms INTEGER, PRIMARY KEY (account, period))',
    );
    sql.exec(
      'CREATE TABLE IF NOT EXISTS leases (id TEXT PRIMARY KEY, account TEXT NOT NULL, period TEXT NOT NULL, units INTEGER NOT NULL, expires_ms INTEGER NOT NULL, ends_ms INTEGER)',
    );
  }

  /** Takes back, then hands out. A lease or a close that comes twice, as after a lost answer, counts once. */
  exchange({ account: told, lease, closes }: Exchange, nowMs: number): ExchangeAnswer {
    const account = this.#adopt(told);
    this.#forget(account.name, nowMs);
    for (const { id, spent } of closes) this.#close(id, spent);
    const { key, endsAtMs } = periodAt(account.period, nowMs);
    const before = this.#standing(account, key);
    const expiresAtMs = Math.min(nowMs + LEASE_MS, endsAtMs ?? Number.POSITIVE_INFINITY);
    const granted =
      lease === undefined
        ? 0
        : this.#grant(account.name, key, lease, before.remaining, expiresAtMs, endsAtMs);
    const { remaining, leased } = this.#standing(account, key);
    return { granted, remaining, leased, limit: account.limit, endsAtMs, expiresAtMs };
  }

  view(told: Account, nowMs: number): LedgerView {
    const account = this.#adopt(told);
    const { key, endsAtMs } = periodAt(account.period, nowMs);
    const { spent, leased, remaining } = this.#standing(account, key);
    const inDoubt = this.#sum(
      'SELECT coalesce(sum(units), 0) AS units FROM leases WHERE account = ? AND period = ? AND expires_ms < ?',
      account.name,
      key,
      nowMs,
    );
    return { limit: account.limit, spent, leased, inDoubt, remaining, endsAtMs };
  }

  #adopt(told: Account): Account {
    const [row] = this.#sql.exec('SELECT units, period, revision FROM accounts WHERE name = ?', told.name);
    if (row !== undefined && Number(row.revision) > told.revision)
      return {
        name: told.name,
        limit: Number(row.units),
        period: JSON.parse(String(row.period)) as Period,
        revision: Number(row.revision),
      };
    if (row === undefined || Number(row.revision) < told.revision)
      this.#sql.exec(
        'INSERT OR REPLACE INTO accounts (name, units, period, revision) VALUES (?, ?, ?, ?)',
        told.name,
        told.limit,
        JSON.stringify(told.period),
        told.revision,
      );
    return told;
  }

  #grant(
    account: string,
    period: string,
    { id, need, want }: NonNullable<Exchange['lease']>,
    remaining: number,
    expiresAtMs: number,
    endsAtMs: number | null,
  ): number {
    const [known] = this.#sql.exec('SELECT units FROM leases WHERE id = ?', id);
    if (known !== undefined) return Number(known.units);
    if (need > remaining || need <= 0) return 0;
    const units = Math.max(need, Math.min(want, Math.floor(remaining / LARGEST_PART)));
    this.#sql.exec(
      'INSERT INTO leases (id, account, period, units, expires_ms, ends_ms) VALUES (?, ?, ?, ?, ?, ?)',
      id,
      account,
      period,
      units,
      expiresAtMs,
      endsAtMs,
    );
    return units;
  }

  #close(id: string, spent: number): void {
    const [lease] = this.#sql.exec('SELECT account, period, units, ends_ms FROM leases WHERE id = ?', id);
    if (lease === undefined) return;
    const units = Math.min(Math.max(0, spent), Number(lease.units));
    const endsMs = lease.ends_ms === null ? null : Number(lease.ends_ms);
    this.#spend(String(lease.account), String(lease.period), units, endsMs);
    this.#sql.exec('DELETE FROM leases WHERE id = ?', id);
  }

  #spend(account: string, period: string, units: number, endsMs: number | null): void {
    this.#sql.exec(
      'INSERT INTO spent (account, period, units, ends_ms) VALUES (?, ?, ?, ?) ON CONFLICT (account, period) DO UPDATE SET units = units + excluded.units',
      account,
      period,
      units,
      endsMs,
    );
  }

  /** What is forgotten of a period was spent: a clock that was ahead for a while comes back to periods that have begun already. */
  #forget(account: Account['name'], nowMs: number): void {
    const lost = this.#sql.exec(
      'SELECT id, units FROM leases WHERE account = ? AND coalesce(ends_ms + ?, expires_ms + ?) < ?',
      account,
      GRACE_MS,
      DOUBT_MS,
      nowMs,
    );
    for (const { id, units } of lost) this.#close(String(id), Number(units));
    this.#sql.exec(
      'DELETE FROM spent WHERE account = ? AND ends_ms < ? AND rowid <= (SELECT rowid FROM spent WHERE account = ? ORDER BY rowid DESC LIMIT 1 OFFSET ?)',
      account,
      nowMs - GRACE_MS,
      account,
      PERIODS_KEPT,
    );
  }

  #standing({ name, limit }: Account, period: string) {
    const spent = this.#sum(
      'SELECT coalesce(sum(units), 0) AS units FROM spent WHERE account = ? AND period = ?',
      name,
      period,
    );
    const leased = this.#sum(
      'SELECT coalesce(sum(units), 0) AS units FROM leases WHERE account = ? AND period = ?',
      name,
      period,
    );
    return { spent, leased, remaining: Math.max(0, limit - spent - leased) };
  }

  #sum(query: string, ...values: (string | number)[]): number {
    return Number(this.#sql.exec(query, ...values)[0]?.units ?? 0);
  }
}
