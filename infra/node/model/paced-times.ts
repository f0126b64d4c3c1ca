/**
 * Expected times at the machine's present pace. A machine that slows down slows all levels and sizes, long before each of them
 * has been seen to; so the latest runs, of whatever level, are compared with what such runs took before.
 */
import type { RunTimes } from '../queue/batcher.ts';
import type { LatencyWindows } from './latency-window.ts';

export type PacedTimes = Pick<LatencyWindows, 'record' | 'times'>;

/** Share of a new run in the pace, which so follows a change within some ten runs. */
const STEP = 0.15;
/** No run counts as more than so many times slower: one may have met with anything. */
const MOST = 5;
/** How long the pace is believed without a run. */
const LASTS_MS = 1000;
/** Runs this short tell of a thread that wakes more than of the machine. */
const SHORTEST_MS = 0.1;

/** @param now milliseconds on any steady clock */
export function pacedTimes(windows: LatencyWindows, now: () => number = () => performance.now()): PacedTimes {
  let pace = 1;
  let atMs = Number.NEGATIVE_INFINITY;
  const current = () => (now() - atMs > LASTS_MS ? 1 : pace);
  return {
    record(level, batch, ms, length = 0) {
      const usualMs = windows.median(level, batch, length);
      if (usualMs !== undefined && usualMs > SHORTEST_MS) {
        pace = current() + STEP * (Math.min(MOST, ms / usualMs) - current());
        atMs = now();
      }
      windows.record(level, batch, ms, length);
    },
    times: (level, rows, length) => slowed(windows.times(level, rows, length), current()),
  };
}

/** A machine that is faster is believed when its levels have been seen to be. What was fastest stays possible. */
function slowed(times: RunTimes | undefined, pace: number): RunTimes | undefined {
  if (times === undefined || pace <= 1) return times;
  return { ...times, p50Ms: times.p50Ms * pace, p95Ms: times.p95Ms * pace };
}
