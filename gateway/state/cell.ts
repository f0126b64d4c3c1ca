/** A value held in the isolate's memory: loaded on first use, refreshed behind the back of requests when it grows old. */

/** The part of a Worker's execution context that lets work outlive the response. */
export interface Background {
  waitUntil(work: Promise<unknown>): void;
}

export interface CellOptions<T> {
  readonly load: () => Promise<T>;
  /** From this age on a refresh is started; the value in hand is used meanwhile. */
  readonly ttlMs: number;
  /** From this age on a better one is waited for, and the value in hand used only if there is none to be had. */
  readonly waitFromMs?: number;
  /** From this age on the value is not used any more. Without it a copy serves until a better one is had. */
  readonly maxAgeMs?: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Told when a refresh in the background fails. */
  readonly onError: (error: unknown) => void;
}

export interface Cell<T> {
  /**
   * The value in hand where that will do, so that the hot path waits for nothing; else the promise of one.
   * @throws what `load` throws, when there is no value to fall back on; always through the promise
   */
  get(background: Background): T | Promise<T>;
  /** Puts in a value that is known to be the newest; refreshes under way are then ignored. */
  set(value: T): void;
}

/** A refresh that has not come back by then was cancelled with its request, and another may start. */
const REFRESH_LOST_MS = 10_000;

/**
 * A load is awaited only by the request that started it: the runtime ties I/O to its request, so a promise shared
 * between requests would hang all of them when the first one's client goes away.
 */
export function cell<T>(options: CellOptions<T>): Cell<T> {
  const { load, ttlMs, now, onError } = options;
  const { waitFromMs = Number.POSITIVE_INFINITY, maxAgeMs = Number.POSITIVE_INFINITY } = options;
  let held: { readonly value: T; readonly atMs: number } | undefined;
  let generation = 0;
  let refreshingSinceMs = Number.NEGATIVE_INFINITY;
  let failedAtMs = Number.NEGATIVE_INFINITY;

  const refresh = async (): Promise<T> => {
    const started = generation;
    const atMs = now();
    const value = await load();
    if (started !== generation) return held === undefined ? value : held.value;
    held = { value, atMs };
    return value;
  };

  return {
    get(background) {
      const at = now();
      if (held === undefined || at - held.atMs >= maxAgeMs) return refresh();
      // One that cannot be loaded is not waited for by every request that comes.
      if (at - held.atMs >= waitFromMs && at - failedAtMs >= ttlMs) {
        const { value } = held;
        return refresh().catch((error: unknown) => {
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
    set(value) {
      generation++;
      held = { value, atMs: now() };
    },
  };
}
