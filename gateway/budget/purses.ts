/** The isolate's purses: for each key that has a budget or a rate limit, one for each of them. */
import type { ApiKeyRow } from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import type { Background } from '../state/cell.ts';
import type { Account, Exchange, ExchangeAnswer, LedgerView } from './ledger.ts';
import { Purse } from './purse.ts';

/** The ledger of a key, wherever it lives. */
export interface LedgerClient {
  exchange(exchange: Exchange): Promise<ExchangeAnswer>;
  view(account: Account): Promise<LedgerView>;
}

export interface Purses {
  /** Undefined when nothing limits the key in this. */
  of(key: ApiKeyRow, name: Account['name']): Purse | undefined;
  /** Sees to it that what the purse does not use any more goes back. To be called when a request takes from it, and when one is over. */
  tend(purse: Purse, background: Background): void;
}

export interface PursesOptions {
  readonly ledgerOf: (keyId: string) => LedgerClient;
  readonly now: () => number;
  readonly onError: (error: unknown) => void;
}

const ANSWER_MS = 2000;
const ROUND_MS = 1050;
/** Work behind a request may go on for half a minute. */
const ROUNDS = 24;
/** What is taken later than this would not be idle for long enough before the rounds end. */
const TENDED_ANEW_MS = (ROUNDS / 2) * ROUND_MS;
/** A purse that holds nothing costs little to make again. */
const PURSES_HELD = 20_000;

export function purses({ ledgerOf, now, onError }: PursesOptions): Purses {
  const held = new Map<string, { readonly purse: Purse; account: Account }>();
  /** When each purse's tending began that goes on now; a new one takes its place well before it ends. */
  const tending = new WeakMap<Purse, { readonly sinceMs: number }>();

  const make = (keyId: string, account: Account) => {
    const entry: { purse: Purse; account: Account } = {
      account,
      purse: new Purse({
        account: () => entry.account,
        exchange: (exchange) => answered(ledgerOf(keyId).exchange(exchange)),
        now,
        pause,
        newId: () => crypto.randomUUID(),
      }),
    };
    return entry;
  };

  const dropOldest = () => {
    const [oldest] = held;
    if (oldest === undefined) return;
    held.delete(oldest[0]);
    // What a ledger has not taken back would count as spent; it does not keep those behind it, either.
    if (oldest[1].purse.open) held.set(...oldest);
  };

  return {
    of(key, name) {
      const account = accountOf(key, name);
      if (account === undefined) return undefined;
      const id = `${name}/${key.id}`;
      const entry = held.get(id) ?? make(key.id, account);
      if (account.revision >= entry.account.revision) entry.account = account;
      held.delete(id);
      held.set(id, entry);
      if (held.size > PURSES_HELD) dropOldest();
      return entry.purse;
    },
    tend(purse, background) {
      const nowMs = now();
      const under = tending.get(purse);
      if (!purse.open || (under !== undefined && nowMs - under.sinceMs < TENDED_ANEW_MS)) return;
      const mine = { sinceMs: nowMs };
      tending.set(purse, mine);
      background.waitUntil(
        (async () => {
          for (let round = 0; round < ROUNDS && purse.open && tending.get(purse) === mine; round++) {
            await pause(ROUND_MS);
            await purse.maintain().catch(onError);
          }
          if (tending.get(purse) === mine) tending.delete(purse);
        })(),
      );
    },
  };
}

export function accountOf(
  { budget, rateLimit, budgetRevision: revision }: Pick<ApiKeyRow, 'budget' | 'rateLimit' | 'budgetRevision'>,
  name: Account['name'],
): Account | undefined {
  if (name === 'cost')
    return budget === null ? undefined : { name, limit: budget.nanoUsd, period: budget.period, revision };
  if (rateLimit === null) return undefined;
  return { name, limit: rateLimit.requests, period: { windowS: rateLimit.windowS }, revision };
}

/** @throws `not-ready`: without the ledger's word nothing is spent */
async function answered<T>(call: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ANSWER_MS} ms`)), ANSWER_MS);
  });
  try {
    return await Promise.race([call, late]);
  } catch (cause) {
    throw new SppError('not-ready', 'The limits of this key cannot be checked at the moment.', {
      hint: 'Try again in a moment.',
      retryAfterS: 1,
      cause,
    });
  } finally {
    clearTimeout(timer);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
