/**
 * Look-ups by prefix that a flood of made-up tokens cannot multiply. A few of them may find nothing; beyond that a list of
 * all prefixes there are, read anew while the flood lasts, says of the others that they are nobody's. Whoever has a token is in
 * it, so that a flood locks nobody out.
 */

/** So many look-ups may find nothing at once, and so many each second. */
const BURST = 20;
const A_SECOND = 10;
/** From this age on a list is read anew, by one request; the others go by the one in hand. */
const RENEWED_MS = 500;
/** A token that was made elsewhere is in the list so soon: an older one refuses nobody. */
const GOOD_MS = 1000;
/** A reading that has not come back by then was cancelled with its request. */
const LOST_MS = 10_000;
/** More prefixes are not held; each is looked up then. */
const LISTED = 20_000;

export interface SparingOptions<T> {
  readonly load: (prefix: string) => Promise<T | null>;
  readonly prefixes: (most: number) => Promise<readonly string[]>;
  readonly now: () => number;
}

export function sparingLookUps<T>({ load, prefixes, now }: SparingOptions<T>): typeof load {
  const list = listOf(prefixes, now);
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
      const all = await list();
      if (all !== undefined && all.size <= LISTED && !all.has(prefix)) return null;
    }
    const row = await load(prefix);
    if (row === null) vain = vainNow() + 1;
    return row;
  };
}

/** @returns all prefixes; undefined where none that is good is in hand, and another request is reading one: nobody waits for that */
function listOf(prefixes: SparingOptions<unknown>['prefixes'], now: () => number) {
  let held: { readonly all: ReadonlySet<string>; readonly atMs: number } | undefined;
  let readingSinceMs = Number.NEGATIVE_INFINITY;
  return async (): Promise<ReadonlySet<string> | undefined> => {
    const at = now();
    // Where the clock was set back nobody knows how old it is.
    const ageMs = held === undefined || at < held.atMs ? Number.POSITIVE_INFINITY : at - held.atMs;
    if (ageMs < RENEWED_MS) return held?.all;
    if (Math.abs(at - readingSinceMs) < LOST_MS) return ageMs < GOOD_MS ? held?.all : undefined;
    readingSinceMs = at;
    try {
      held = { all: new Set(await prefixes(LISTED + 1)), atMs: at };
      return held.all;
    } finally {
      if (readingSinceMs === at) readingSinceMs = Number.NEGATIVE_INFINITY;
    }
  };
}
