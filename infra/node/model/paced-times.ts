/**
 * Expected times at the machine's present pace. A machine that slows down slows all levels and sizes, long before each of them
 * has been seen to; so the latest runs, of whatever level, are compared with what such runs usually take.
 *
 *   run of 12 ms, usually 4 ms  ->  the pace rises towards 3; the window takes the run for one of 4 ms
 *   expected                    =   what the window says of usual runs, times the pace
 *
 * Were runs kept as they are, levels that run would tell of the slow machine and others of the fast one, and the pace would be
 * forgotten while it lasts. What has been slow for long is usual.
 */
import type { LatencyProfile } from '../../../schema/manifest.ts';
import type { RunTimes } from '../queue/batcher.ts';
import type { LatencyWindows } from './latency-window.ts';

export interface PacedTimes extends Pick<LatencyWindows, 'record' | 'times'> {
  /** A profile of usual runs as it is at present, to the microsecond: of models of sequences a report has thousands. */
  atPresent<P extends LatencyProfile>(profile: P): P;
}

/** Share of a new run in the pace, which so follows a change within some ten runs. */
const STEP = 0.15;
/** No run counts as more than so many times slower: one may have met with anything. */
const MOST = 5;
/** How long the pace is believed without a run. */
const LASTS_MS = 1000;
/** Runs this short tell of a thread that wakes more than of the machine. */
const SHORTEST_MS = 0.1;
/** From here on the machine counts as slow, and after so long of it as usual. */
const SLOW = 1.1;
const USUAL_AFTER_MS = 10_000;

/** @param now milliseconds on any steady clock */
export function pacedTimes(windows: LatencyWindows, now: () => number = () => performance.now()): PacedTimes {
  let pace = 1;
  let atMs = Number.NEGATIVE_INFINITY;
  let slowSinceMs = Number.POSITIVE_INFINITY;
  const current = () => (now() - atMs > LASTS_MS ? 1 : pace);
  /** A machine that is faster is believed when its levels have been seen to be. */
  const factor = () => Math.max(1, current());
  return {
    record(level, batch, ms, length = 0) {
      const usualMs = windows.median(level, batch, length);
      if (usualMs !== undefined && usualMs > SHORTEST_MS) {
        pace = current() + STEP * (Math.min(MOST, ms / usualMs) - current());
        atMs = now();
        slowSinceMs = pace < SLOW ? Number.POSITIVE_INFINITY : Math.min(slowSinceMs, atMs);
      }
      const isUsual = now() - slowSinceMs > USUAL_AFTER_MS;
      // No run is taken for a faster one than it was, or than is usual.
      const slower = usualMs === undefined ? factor() : Math.max(1, Math.min(factor(), ms / usualMs));
      windows.record(level, batch, isUsual ? ms : ms / slower, length);
    },
    times: (level, rows, length) => slowed(windows.times(level, rows, length), factor()),
    atPresent: (profile) => {
      const times = factor();
      const { p50Ms, p95Ms, p99Ms } = profile;
      return {
        ...profile,
        p50Ms: rounded(p50Ms * times),
        p95Ms: rounded(p95Ms * times),
        p99Ms: rounded(p99Ms * times),
      };
    },
  };
}

/** A profile's times are positive. */
function rounded(ms: number): number {
  return Math.max(1, Math.round(ms * 1000)) / 1000;
}

/** What was fastest stays possible. */
function slowed(times: RunTimes | undefined, factor: number): RunTimes | undefined {
  if (times === undefined) return undefined;
  return { ...times, p50Ms: times.p50Ms * factor, p95Ms: times.p95Ms * factor };
}
