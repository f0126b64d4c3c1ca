/** Sliding windows of measured times, by level, batch size and length of sequences, and their quantiles. */
import type { LatencyProfile } from '../../../schema/manifest.ts';
import type { RunTimes } from '../queue/batcher.ts';

export interface LatencyWindows {
  /** @param length the sequence length's bucket (`lengthBucket`); 0 where inputs have no length */
  record(level: number, batch: number, ms: number, length?: number): void;
  /** Profiles of a level by batch size, over all lengths. */
  profiles(level: number): LatencyProfile[];
  /** Profiles of a level by batch size and length. */
  lengthProfiles(level: number): (LatencyProfile & { length: number })[];
  /**
   * What a run of this many rows, of this length, is expected to take: measured, between two measured sizes on the line
   * between them, and beyond the largest in proportion to it, which is the most that a larger batch can take. A length that was
   * never run is told by the next longer one, which takes no less, else by the next shorter one in proportion.
   */
  times(level: number, rows: number, length?: number): RunTimes | undefined;
  /** The latest times, to be restored in another process. */
  dump(): RecordedTimes[];
  restore(recorded: readonly RecordedTimes[]): void;
}

export interface RecordedTimes {
  readonly level: number;
  readonly length: number;
  readonly batch: number;
  /** The latest last. */
  readonly timesMs: readonly number[];
}

/** Lengths that are measured together: up to this power of two. */
export function lengthBucket(length: number): number {
  return length <= 0 ? 0 : 2 ** Math.ceil(Math.log2(length));
}

/** Times kept for a level and batch size: enough for a p99, few enough to follow a change within seconds of load. */
const WINDOW = 256;
/** Batch sizes followed per level besides those that stay: clients choose them, so their number needs a bound. */
const MAX_BATCHES = 8;
/** Quantiles for decisions follow the window in steps of this share of it: sorting at every run would cost more than short runs. */
const REFRESH_SHARE = 1 / 16;
/** Times of each window that outlive the process. */
const DUMPED = 64;
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
  /** By level, length (0: all together), and batch size. */
  const levels = new Map<number, Map<number, Map<number, Window>>>();

  const batchesOf = (level: number, length: number) => levels.get(level)?.get(length);

  const put = (level: number, length: number, batch: number, ms: number) => {
    const lengths = levels.get(level) ?? new Map<number, Map<number, Window>>();
    levels.set(level, lengths);
    const batches = lengths.get(length) ?? new Map<number, Window>();
    lengths.set(length, batches);
    const window = batches.get(batch) ?? { times: [], next: 0, fresh: 0, summary: undefined };
    // Set anew, so that the batch size recorded longest ago stands first.
    batches.delete(batch);
    batches.set(batch, window);
    window.times[window.next] = Math.max(SHORTEST_MS, ms);
    window.next = (window.next + 1) % WINDOW;
    window.fresh++;
    const others = [...batches.keys()].filter((size) => !kept.includes(size));
    if (others.length > MAX_BATCHES && others[0] !== undefined) batches.delete(others[0]);
  };

  const timesOf = (batches: Map<number, Window> | undefined, rows: number): RunTimes | undefined => {
    let below: readonly [number, Window] | undefined;
    let above: readonly [number, Window] | undefined;
    for (const entry of batches ?? []) {
      if (entry[0] <= rows && (below === undefined || entry[0] > below[0])) below = entry;
      if (entry[0] >= rows && (above === undefined || entry[0] < above[0])) above = entry;
    }
    if (above === undefined) return below && scaled(summary(below[1]), rows / below[0]);
    if (below === undefined || below[0] === above[0]) return summary(above[1]);
    return between(summary(below[1]), summary(above[1]), (rows - below[0]) / (above[0] - below[0]));
  };

  const profilesOf = (level: number, length: number): LatencyProfile[] =>
    [...(batchesOf(level, length) ?? [])]
      .sort(([a], [b]) => a - b)
      .map(([batch, { times }]) => {
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

  const lengthsOf = (level: number) =>
    [...(levels.get(level)?.keys() ?? [])].filter((length) => length > 0).toSorted((a, b) => a - b);

  return {
    record(level, batch, ms, length = 0) {
      put(level, 0, batch, ms);
      if (length > 0) put(level, length, batch, ms);
    },
    times(level, rows, length = 0) {
      const known = timesOf(batchesOf(level, length), rows);
      if (known !== undefined || length === 0) return known;
      const lengths = lengthsOf(level);
      const longer = lengths.find((other) => other > length);
      const shorter = lengths.findLast((other) => other < length);
      if (longer !== undefined) {
        const bound = timesOf(batchesOf(level, longer), rows);
        // At most quadratic in the length, so that the fastest stays a bound from below.
        return bound && { ...bound, fastestMs: bound.fastestMs * (length / longer) ** 2 };
      }
      const bound = shorter === undefined ? undefined : timesOf(batchesOf(level, shorter), rows);
      return bound && shorter !== undefined ? scaled(bound, length / shorter) : undefined;
    },
    profiles: (level) => profilesOf(level, 0),
    lengthProfiles: (level) =>
      lengthsOf(level).flatMap((length) =>
        profilesOf(level, length).map((profile) => ({ ...profile, length })),
      ),
    dump: () =>
      [...levels].flatMap(([level, lengths]) =>
        [...lengths].flatMap(([length, batches]) =>
          [...batches].map(([batch, { times, next }]) => ({
            level,
            length,
            batch,
            timesMs: [...times.slice(next), ...times.slice(0, next)].slice(-DUMPED),
          })),
        ),
      ),
    restore(recorded) {
      for (const { level, length, batch, timesMs } of recorded)
        for (const ms of timesMs) put(level, length, batch, ms);
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
