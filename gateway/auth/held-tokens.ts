/**
 * An isolate's copies of token rows by prefix: looked up by no request of steady traffic, and never older than a change may take. Who has
 * changed a row drops it here, and puts in only that it is revoked: of two changes at once nobody knows whose row is the newer one, but that
 * one is the last.
 */
import { type CellMap, cellMap } from '../state/cell-map.ts';
import { sparingLookUps } from './sparing-look-ups.ts';

/** A row that is used is read again behind requests from this age on, well before it would have to be waited for. */
const TTL_MS = 2000;
/** A revoked token dies everywhere within this: an older row lets nobody in, even when the database cannot be read. */
export const MAX_AGE_MS = 5000;
/** Nobody is refused by an older row: a token that has just been made or rotated elsewhere is good almost at once. */
export const REFUSED_WITHIN_MS = 1000;
const HELD = 10_000;

export interface HeldTokensOptions<T> {
  /** Null for a prefix that no token has. */
  readonly load: (prefix: string) => Promise<T | null>;
  /** Every prefix that a token has, of so many at most. */
  readonly prefixes: (most: number) => Promise<readonly string[]>;
  readonly now: () => number;
  readonly onError: (error: unknown) => void;
}

export function heldTokens<T>(options: HeldTokensOptions<T>): CellMap<T | null> {
  const { now, onError } = options;
  const load = sparingLookUps(options);
  return cellMap<T | null>({
    load,
    now,
    onError,
    same: sameRow,
    ttlMs: TTL_MS,
    maxAgeMs: MAX_AGE_MS,
    limit: HELD,
  });
}

/** A row that has not changed stays proved: its secret is hashed no second time. */
function sameRow(held: unknown, loaded: unknown): boolean {
  return JSON.stringify(held) === JSON.stringify(loaded);
}
