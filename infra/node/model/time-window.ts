/** One sliding window of measured times: what is in it, what it says of itself, and when restored times stop counting. */
import type { RunTimes } from '../queue/batcher.ts';

/** Times kept for a level and batch size: enough for a p99, few enough to follow a change within seconds of load. */
const WINDOW = 256;
/** Quantiles for decisions follow the window in steps of this share of it: sorting at every run would cost more than short runs. */
const REFRESH_SHARE = 1 / 16;
/** Runs by which restored times are judged, and the factor between medians that contradicts them. */
const JUDGING_RUNS = 3;
const CONTRADICTS = 1.5;
/** Medians this close never contradict: so much goes to a thread that wakes or code that is still cold, and no deadline feels it. */
const ALIKE_MS = 0.1;
/** The clock's own grain; a profile's times are positive. */
const SHORTEST_MS = 1e-3;

export interface Window {
  times: number[];
  /** Where the next time goes once the window is full. */
  next: number;
  /** Times recorded since `summary` was made. */
  fresh: number;
  summary: RunTimes | undefined;
  lastMs: number;
  /** How many of the first times come from elsewhere; 0 once runs here contradict them. */
  restored: number;
  /** Whether runs here have agreed with what was restored. */
  agreed: boolean;
}

export function emptyWindow(): Window {
  return {
    times: [],
    next: 0,
    fresh: 0,
    summary: undefined,
    lastMs: Number.NEGATIVE_INFINITY,
    restored: 0,
    agreed: false,
  };
}

export function addTime(window: Window, ms: number): void {
  window.times[window.next] = Math.max(SHORTEST_MS, ms);
  window.next = (window.next + 1) % WINDOW;
  window.fresh++;
}

/** The latest last. */
export function inOrder({ times, next }: Window): number[] {
  return [...times.slice(next), ...times.slice(0, next)];
}

export function keepOnly(window: Window, times: number[]): void {
  window.times = times;
  window.next = times.length % WINDOW;
  window.summary = undefined;
}

/** Restored times were measured on a machine that may have been busier, or less busy, than it is now. */
export function judge(window: Window): void {
  const own = window.times.slice(window.restored);
  if (own.length < JUDGING_RUNS) return;
  const median = (times: readonly number[]) =>
    quantile(
      times.toSorted((a, b) => a - b),
      0.5,
    );
  const [here, before] = [median(own), median(window.times.slice(0, window.restored))];
  const ratio = here / before;
  window.agreed = Math.abs(here - before) <= ALIKE_MS || (ratio <= CONTRADICTS && ratio >= 1 / CONTRADICTS);
  if (window.agreed) return;
  keepOnly(window, own);
  window.restored = 0;
}

export function isUnjudged({ restored, agreed }: Window): boolean {
  return restored > 0 && !agreed;
}

export function summary(window: Window): RunTimes {
  if (window.summary === undefined || window.fresh >= window.times.length * REFRESH_SHARE) {
    const sorted = window.times.toSorted((a, b) => a - b);
    window.summary = {
      fastestMs: quantile(sorted, 0),
      p50Ms: quantile(sorted, 0.5),
      p95Ms: quantile(sorted, 0.95),
    };
    window.fresh = 0;
  }
  return window.summary;
}

/** The nearest-rank quantile: the smallest time that at least a share `q` of the times do not exceed. */
export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}
