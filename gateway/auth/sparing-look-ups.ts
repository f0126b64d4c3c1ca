/**
 * Look-ups by prefix that a flood of made-up tokens cannot multiply. A few of them may find nothing; beyond that a list of
 * all prefixes there are, read anew every second at most, says of the others that they are nobody's. Whoever has a token is in
 * it, so that a flood locks nobody out.
 */
import { cell } from '../state/cell.ts';

/** So many look-ups may find nothing at once, and so many each second. */
const BURST = 20;
const A_SECOND = 10;
/** A token that was made elsewhere is in the list so soon. */
const LIST_MS = 1000;
/** More prefixes are not held; each is looked up then. */
const LISTED = 50_000;

export interface SparingOptions<T> {
  readonly load: (prefix: string) => Promise<T | null>;
  readonly prefixes: (most: number) => Promise<readonly string[]>;
  readonly now: () => number;
  readonly onError: (error: unknown) => void;
}

export function sparingLookUps<T>({ load, prefixes, now, onError }: SparingOptions<T>): typeof load {
  const list = cell<ReadonlySet<string>>({
    load: async () => new Set(await prefixes(LISTED + 1)),
    ttlMs: LIST_MS,
    now,
    onError,
  });
  let vain = 0;
  let atMs = now();
  /** Look-ups in vain that still count. */
  const vainNow = () => {
    const passedMs = Math.abs(now() - atMs);
    vain = Math.max(0, vain - (A_SECOND * passedMs) / 1000);
    atMs = now();
    return vain;
  };
  return async (prefix) => {
    if (vainNow() > BURST) {
      const all = await list.within(LIST_MS);
      if (all.size <= LISTED && !all.has(prefix)) return null;
    }
    const row = await load(prefix);
    if (row === null) vain = vainNow() + 1;
    return row;
  };
}
