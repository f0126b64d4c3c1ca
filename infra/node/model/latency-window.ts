/** Sliding windows of measured times, by level and batch size, and their quantiles. */
import type { LatencyProfile } from '../../../schema/manifest.ts';

export interface LatencyWindows {
  record(level: number, batch: number, ms: number): void;
  /** Profiles of a level, by batch size. */
  profiles(level: number): LatencyProfile[];
}

/** Times kept for a level and batch size: enough for a p99, few enough to follow a change within seconds of load. */
const WINDOW = 256;
/** Batch sizes followed per level: clients choose them, so their number needs a bound. Batch 1 always stays. */
const MAX_BATCHES = 8;
/** The clock's own grain; a profile's times are positive. */
const SHORTEST_MS = 1e-3;

interface Window {
  readonly times: number[];
  /** Where the next time goes once the window is full. */
  next: number;
}

/** @param device and @param threads what the profiles say the times were measured on */
export function latencyWindows(device: string, threads: number): LatencyWindows {
  const levels = new Map<number, Map<number, Window>>();
  return {
    record(level, batch, ms) {
      const batches = levels.get(level) ?? new Map<number, Window>();
      levels.set(level, batches);
      const window = batches.get(batch) ?? { times: [], next: 0 };
      // Set anew, so that the batch size recorded longest ago stands first.
      batches.delete(batch);
      batches.set(batch, window);
      window.times[window.next] = Math.max(SHORTEST_MS, ms);
      window.next = (window.next + 1) % WINDOW;
      const oldest = [...batches.keys()].find((size) => size !== 1);
      if (batches.size > MAX_BATCHES && oldest !== undefined) batches.delete(oldest);
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

/** The nearest-rank quantile: the smallest time that at least a share `q` of the times do not exceed. */
export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}
