/** How late the runtime's timers go off lately: a deadline whose timer is set ahead by that is told in time. */

export interface TimerLateness {
  /** Milliseconds, between 0 and 2. */
  ms(): number;
  /** @param lateMs after the time that it was set for; less than 0 where it came early */
  wentOff(lateMs: number): void;
}

/** What a busy moment makes of a timer is no reason to give up on answers much too early. */
const MOST_MS = 2;
const NEWEST_COUNTS = 1 / 8;

/** Exponentially weighted mean, beginning at 0. */
export function timerLateness(): TimerLateness {
  let usualMs = 0;
  return {
    ms: () => usualMs,
    wentOff(lateMs) {
      usualMs += NEWEST_COUNTS * (Math.min(MOST_MS, Math.max(0, lateMs)) - usualMs);
    },
  };
}
