/** A clock for durations and ages: it goes on from where it was when the machine's is set back. */

export interface SteadyClock {
  /** Milliseconds; the machine's own as long as that has not been set back. */
  now(): number;
  /** What it said at a time of the machine's clock; for one that is still to come, what it says now. */
  at(epochMs: number): number;
}

/** @param now milliseconds since the epoch, by the machine */
export function steadyClock(now: () => number): SteadyClock {
  let aheadMs = 0;
  let lastMs = Number.NEGATIVE_INFINITY;
  const read = () => {
    const ms = now();
    if (ms + aheadMs < lastMs) aheadMs = lastMs - ms;
    lastMs = ms + aheadMs;
    return lastMs;
  };
  return { now: read, at: (epochMs) => Math.min(read(), epochMs + aheadMs) };
}
