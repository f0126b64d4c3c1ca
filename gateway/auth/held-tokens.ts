/** An isolate's copies of token rows by prefix: looked up by no request of steady traffic, and never older than a change may take. */
import { type CellMap, cellMap } from '../state/cell-map.ts';

/** A row that is used is read again behind requests from this age on, well before it would have to be waited for. */
const TTL_MS = 2000;
/** A revoked token dies everywhere within this: an older row lets nobody in, even when the database cannot be read. */
export const MAX_AGE_MS = 5000;
const HELD = 10_000;

export interface HeldTokensOptions<T> {
  /** Null for a prefix that no token has. */
  readonly load: (prefix: string) => Promise<T | null>;
  readonly now: () => number;
  readonly onError: (error: unknown) => void;
}

export function heldTokens<T>(options: HeldTokensOptions<T>): CellMap<T | null> {
  return cellMap<T | null>({ ...options, same: sameRow, ttlMs: TTL_MS, maxAgeMs: MAX_AGE_MS, limit: HELD });
}

/** A row that has not changed stays proved: its secret is hashed no second time. */
function sameRow(held: unknown, loaded: unknown): boolean {
  return JSON.stringify(held) === JSON.stringify(loaded);
}
