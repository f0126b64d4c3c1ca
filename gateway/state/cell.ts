/** A value held in the isolate's memory: loaded on first use, refreshed behind the back of requests when it grows old. */

/** The part of a Worker's execution context that lets work outlive the response. */
export interface Background {
  waitUntil(work: Promise<unknown>): void;
}

export interface CellOptions<T> {
  /** @param held the value in hand, which may be what comes of it */
  readonly load: (held: T | undefined) => Promise<T>;
  /** From this age on a refresh is started; the value in hand is used meanwhile. */
  readonly ttlMs: number;
  /** From this age on a better one is waited for, and the value in hand used only if there is none to be had. */
  readonly waitFromMs?: number;
  /** From this age on the value is not used any more. Without it a copy serves until a better one is had. */
  readonly maxAgeMs?: number;
  /** Whether a loaded value says the same as the one in hand, which then stays, with all that was worked out from it. */
  readonly same?: (held: T, loaded: T) => boolean;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Told when a refresh in the background fails. */
  readonly onError: (error: unknown) => void;
  readonly pause?: (ms: number) => Promise<void>;
}

export interface Cell<T> {
  /**
   * The value in hand where that will do, so that the hot path waits for nothing; else the promise of one.
   * @throws what `load` throws, when there is no value to fall back on; always through the promise
   */
  get(background: Background): T | Promise<T>;
  /** One that is no older, for what must not be said by an old one. @throws as `get` does, through the promise */
  within(ageMs: number): T | Promise<T>;
  /** The value in hand, however old; undefined before the first. */
  held(): T | undefined;
  /** Loads anew, after a change made here: nothing that was begun before will do, and nothing of that takes its place. @throws what `load` throws */
  reload(): Promise<T>;
  /** Puts in a value that is known to be the newest; refreshes under way are then ignored. */
  set(value: T): void;
}

/** A refresh that has not come back by then was cancelled with its request, and another may start. */
const REFRESH_LOST_MS = 10_000;
/** How often, and for how long at most, who needs a value looks for what another request's load has brought. */
const LOOK_MS = 2;
const LOOK_FOR_MS = 250;

/**
 * A load is awaited only by the request that started it: the runtime ties I/O to its request, so a promise shared
 * between requests would hang all of them when the first one's client goes away. Those that come meanwhile look for what it brought,
 * so that many requests at once after a pause are one load and not many.
 */
export function cell<T>(options: CellOptions<T>): Cell<T> {
  const { load, ttlMs, same, now, onError, pause = timeout } = options;
  const { waitFromMs = Number.POSITIVE_INFINITY, maxAgeMs = Number.POSITIVE_INFINITY } = options;
  let held: { readonly value: T; readonly atMs: number } | undefined;
  /** Loads are numbered as they begin: what began later is newer, whichever comes first. */
  let begun = 0;
  let heldSince = 0;
  let refreshingSinceMs = Number.NEGATIVE_INFINITY;
  let failedAtMs = Number.NEGATIVE_INFINITY;
  /** When the last load that requests wait for began; undefined while none is under way. */
  let loadingSinceMs: number | undefined;

  /** The clock was set back, so nobody knows how old it is. */
  const tooOld = () => {
    if (held !== undefined) held = { ...held, atMs: Number.NEGATIVE_INFINITY };
    refreshingSinceMs = Number.NEGATIVE_INFINITY;
    failedAtMs = Number.NEGATIVE_INFINITY;
    loadingSinceMs = undefined;
  };

  const refresh = async (): Promise<T> => {
    const since = ++begun;
    const atMs = now();
    const loaded = await load(held?.value);
    if (since < heldSince) return held === undefined ? loaded : held.value;
    heldSince = since;
    const value = held !== undefined && same?.(held.value, loaded) ? held.value : loaded;
    held = { value, atMs };
    return value;
  };

  /** @returns what this request's own load brings, or another's that was under way */
  const fresh = async (): Promise<T> => {
    const askedMs = now();
    while (loadingSinceMs !== undefined && now() - Math.min(loadingSinceMs, askedMs) < LOOK_FOR_MS) {
      const since = loadingSinceMs;
      await pause(LOOK_MS);
      if (held !== undefined && held.atMs >= Math.min(since, askedMs)) return held.value;
    }
    const startedMs = now();
    loadingSinceMs = startedMs;
    try {
      return await refresh();
    } finally {
      if (loadingSinceMs === startedMs) loadingSinceMs = undefined;
    }
  };

  return {
    within(ageMs) {
      const at = now();
      if (held !== undefined && at < held.atMs) tooOld();
      return held !== undefined && at - held.atMs < ageMs ? held.value : fresh();
    },
    get(background) {
      const at = now();
      if (held !== undefined && at < held.atMs) tooOld();
      if (held === undefined || at - held.atMs >= maxAgeMs) return fresh();
      // One that cannot be loaded is not waited for by every request that comes.
      if (at - held.atMs >= waitFromMs && at - failedAtMs >= ttlMs) {
        const { value } = held;
        return fresh().catch((error: unknown) => {
          failedAtMs = at;
          onError(error);
          return value;
        });
      }
      if (at - held.atMs >= ttlMs && at - refreshingSinceMs >= REFRESH_LOST_MS) {
        refreshingSinceMs = at;
        background.waitUntil(
          refresh()
            .catch(onError)
            .finally(() => {
              refreshingSinceMs = Number.NEGATIVE_INFINITY;
            }),
        );
      }
      return held.value;
    },
    held: () => held?.value,
    reload: refresh,
    set(value) {
      heldSince = ++begun;
      held = { value, atMs: now() };
    },
  };
}

function timeout(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
