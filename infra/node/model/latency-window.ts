/** Sliding windows of measured times, by level and batch size, and their quantiles. */
import type { LatencyProfile } from '../../../schema/manifest.ts';
import type { RunTimes } from '../queue/batcher.ts';

export interface LatencyWindows {
  record(level: number, batch: number, ms: number): void;
  /** Profiles of a level, by batch size. */
  profiles(level: number): LatencyProfile[];
  /**
   * What a run of this many rows is expected to take: measured, between two measured sizes on the line between them, and
   * beyond the largest in proportion to it, which is the most that a larger batch can take.
   */
  times(level: number, rows: number): RunTimes | undefined;
}

/** Times kept for a level and batch size: enough for a p99, few enough to follow a change within seconds of load. */
const WINDOW = 256;
/** Batch sizes followed per level besides those that stay: clients choose them, so their number needs a bound. */
const MAX_BATCHES = 8;
/** Quantiles for decisions follow the window in steps of this share of it: sorting at every run would cost more than short runs. */
const REFRESH_SHARE = 1 / 16;
/** The clock's own grain; a profile's times are positive. */
const SHORTEST_MS = 1e-3;

interface Window {
  readonly times: number[];
  /** Where the next time goes once the window is full. */
  next: number;
  /** Times recorded since `summary` was made. */
  fresh: number;
  summary: RunTimes | undefined;
}

/**
 * @param device what the profiles say the times were measured on; likewise `threads`
 * @param kept batch sizes that are followed for good
 */
export function latencyWindows(
  device: string,
  threads: number,
  kept: readonly number[] = [1],
): LatencyWindows {
  const levels = new Map<number, Map<number, Window>>();
  return {
    record(level, batch, ms) {
      const batches = levels.get(level) ?? new Map<number, Window>();
      levels.set(level, batches);
      const window = batches.get(batch) ?? { times: [], next: 0, fresh: 0, summary: undefined };
      // Set anew, so that the batch size recorded longest ago stands first.
      batches.delete(batch);
      batches.set(batch, window);
      window.times[window.next] = Math.max(SHORTEST_MS, ms);
      window.next = (window.next + 1) % WINDOW;
      window.fresh++;
      const others = [...batches.keys()].filter((size) => !kept.includes(size));
      if (others.length > MAX_BATCHES && others[0] !== undefined) batches.delete(others[0]);
    },
    times(level, rows) {
      let below: readonly [number, Window] | undefined;
      let above: readonly [number, Window] | undefined;
      for (const entry of levels.get(level) ?? []) {
        if (entry[0] <= rows && (below === undefined || entry[0] > below[0])) below = entry;
        if (entry[0] >= rows && (above === undefined || entry[0] < above[0])) above = entry;
      }
      if (above === undefined) return below && scaled(summary(below[1]), rows / below[0]);
      if (below === undefined || below[0] === above[0]) return summary(above[1]);
      return between(summary(below[1]), summary(above[1]), (rows - below[0]) / (above[0] - below[0]));
    },
    profiles(level) {
      const batches = [...(levels.get(level) ?? [])].sort(([a], [b]) => a - b);
      return batches.map(([batch, { times }]) => {
        const sorted = times.toSorted((a, b) => a - b);
        return {
          device,
          threads,
          batch,
          samples: sorted.length,
          p50Ms: quantile(sorted, 0.5),
          p95Ms: quantile(sorted, 0.95),
          p99Ms: quantile(sorted, 0.99),
        };
      });
    },
  };
}

function summary(window: Window): RunTimes {
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

/** The fastest time stays: no larger batch was seen to take more. */
function scaled({ fastestMs, p50Ms, p95Ms }: RunTimes, factor: number): RunTimes {
  return { fastestMs, p50Ms: p50Ms * factor, p95Ms: p95Ms * factor };
}

function between(a: RunTimes, b: RunTimes, share: number): RunTimes {
  const mix = (from: number, to: number) => from + (to - from) * share;
  return {
    fastestMs: mix(a.fastestMs, b.fastestMs),
    p50Ms: mix(a.p50Ms, b.p50Ms),
    p95Ms: mix(a.p95Ms, b.p95Ms),
  };
}

/** The nearest-rank quantile: the smallest time that at least a share `q` of the times do not exceed. */
export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}
