/** Sliding windows of measured times, by level, batch size and length of sequences, and their quantiles. */
import type { LatencyProfile } from '../../../schema/manifest.ts';
import type { RunTimes } from '../queue/batcher.ts';
import {
  addTime,
  emptyWindow,
  inOrder,
  isUnjudged,
  judge,
  keepOnly,
  quantile,
  summary,
  type Window,
} from './time-window.ts';

export interface LatencyWindows {
  /**
   * @param ms the run inside its thread
   * @param length the sequence length's bucket (`lengthBucket`); 0 where inputs have no length
   */
  record(level: number, batch: number, ms: number, length?: number): void;
  /** The way to a thread and back, which is the same for all levels and sizes. */
  recordHandover(ms: number): void;
  /** Profiles of a level by batch size, over all lengths. */
  profiles(level: number): LatencyProfile[];
  /** Profiles of a level by batch size and length. */
  lengthProfiles(level: number): (LatencyProfile & { length: number })[];
  /**
   * What a run of this many rows, of this length, is expected to take with the way to its thread and back: measured, between two measured sizes on the line
   * between them, and beyond the largest in proportion to it, which is the most that a larger batch can take. A length that was
   * never run is told by the next longer one, which takes no less, else by the next shorter one in proportion.
   *
   * What was measured long ago, or seldom, must not stand in the way of finding out: a size's times are then held to be no longer than
   * as many runs of one row, never longer than those of a larger size, and a level's slowest runs are not held against it.
   */
  times(level: number, rows: number, length?: number): RunTimes | undefined;
  /** Of runs of exactly this size and length; undefined where there were hardly any. */
  median(level: number, batch: number, length?: number): number | undefined;
  /** The latest times, to be restored in another process; of the batch sizes of a level and length those recorded last stand last. */
  dump(): RecordedTimes[];
  /** Times from elsewhere; they go as soon as runs here contradict them. */
  restore(recorded: readonly RecordedTimes[]): void;
  /** Restored times of single rows of a level that runs here have not contradicted. */
  restoredRuns(level: number): number;
}

export interface RecordedTimes {
  readonly level: number;
  readonly length: number;
  readonly batch: number;
  /** The latest last. */
  readonly timesMs: readonly number[];
}

/** Batch sizes followed per level besides those that stay: clients choose them, so their number needs a bound. */
const MAX_BATCHES = 8;
/** Times of each window that outlive the process. */
const DUMPED = 64;
/** Runs of a size from which on it can be believed that sharing does not pay: a few may have met with a busy machine. */
const TELLING_RUNS = 16;
/** Fewer say nothing about what is usual: as many as the start takes of a size. */
const FEWEST_RUNS = 4;
/** After so long without a run, times count as old. */
const OLD_AFTER_MS = 30_000;
/** Old times of which new ones are added to: few, so that what has changed is seen at once. */
const KEPT_WHEN_OLD = 16;

/**
 * @param device what the profiles say the times were measured on; likewise `threads`
 * @param kept batch sizes that are followed for good
 * @param now milliseconds on any steady clock
 */
export function latencyWindows(
  device: string,
  threads: number,
  kept: readonly number[] = [1],
  now: () => number = () => performance.now(),
): LatencyWindows {
  /** By level, length (0: all together), and batch size. */
  const levels = new Map<number, Map<number, Map<number, Window>>>();

  const batchesOf = (level: number, length: number) => levels.get(level)?.get(length);

  const handover = emptyWindow();

  const windowOf = (level: number, length: number, batch: number) => {
    const lengths = made(levels, level, () => new Map<number, Map<number, Window>>());
    const batches = made(lengths, length, () => new Map<number, Window>());
    const known = batches.get(batch);
    if (known !== undefined) return known;
    if (!kept.includes(batch)) makeRoom(batches);
    const window = emptyWindow();
    batches.set(batch, window);
    return window;
  };

  /** For one more batch size. */
  const makeRoom = (batches: Map<number, Window>) => {
    const others = longestAgoFirst(batches).filter(([size]) => !kept.includes(size));
    if (others.length >= MAX_BATCHES && others[0] !== undefined) batches.delete(others[0][0]);
  };

  const isOld = (window: Window) => now() - window.lastMs > OLD_AFTER_MS;

  const put = (window: Window, ms: number) => {
    const atMs = now();
    if (isOld(window) && window.times.length > KEPT_WHEN_OLD && !isUnjudged(window))
      keepOnly(window, inOrder(window).slice(-KEPT_WHEN_OLD));
    addTime(window, ms);
    window.lastMs = atMs;
    if (isUnjudged(window)) judge(window);
  };

  const expected = (window: Window): RunTimes => {
    const times = summary(window);
    return isOld(window) ? { ...times, p95Ms: times.p50Ms } : times;
  };

  /**
   * What a size took in a few runs in a busy moment is not held against it where a larger one takes less. Sizes that look slow are
   * not run, and so would look slow for long.
   */
  const timesOf = (batches: Map<number, Window> | undefined, rows: number): RunTimes | undefined => {
    let times = timesBetween(batches, rows);
    for (const [size, window] of batches ?? [])
      if (times !== undefined && size > rows) times = least(times, summary(window));
    return times;
  };

  const timesBetween = (batches: Map<number, Window> | undefined, rows: number): RunTimes | undefined => {
    let below: readonly [number, Window] | undefined;
    let above: readonly [number, Window] | undefined;
    for (const entry of batches ?? []) {
      if (entry[0] <= rows && (below === undefined || entry[0] > below[0])) below = entry;
      if (entry[0] >= rows && (above === undefined || entry[0] < above[0])) above = entry;
    }
    if (above === undefined) return below && beyond(below[0], expected(below[1]), rows, batches?.get(1));
    if (below === undefined || below[0] === above[0])
      return bounded(batches, rows, above[1], expected(above[1]));
    const mixed = between(expected(below[1]), expected(above[1]), (rows - below[0]) / (above[0] - below[0]));
    return bounded(batches, rows, above[1], mixed);
  };

  /**
   * Far beyond the largest size no run is as fast as one of that size: what rows took more than one row did goes on, by half at least.
   * Or who asks for hundreds of rows within the time of eight would be run, late, and make others late.
   */
  const beyond = (size: number, times: RunTimes, rows: number, single: Window | undefined): RunTimes => {
    const far = scaled(times, rows / size);
    if (single === undefined || size === 1) return far;
    const { fastestMs: oneMs } = expected(single);
    const onLineMs = times.fastestMs + ((times.fastestMs - oneMs) / (size - 1)) * (rows - size);
    return { ...far, fastestMs: Math.max(times.fastestMs, Math.min(onLineMs, rows * oneMs) / 2) };
  };

  /** One by one is the most that many rows can take; that much is known even where the size itself has not run lately. */
  const bounded = (
    batches: Map<number, Window> | undefined,
    rows: number,
    window: Window,
    times: RunTimes,
  ) => {
    const single =
      rows > 1 && (isOld(window) || isUnjudged(window) || window.times.length < TELLING_RUNS)
        ? batches?.get(1)
        : undefined;
    if (single === undefined) return times;
    const { p50Ms, p95Ms } = expected(single);
    // Not all of them are slow at once.
    return least(times, { fastestMs: rows * p50Ms, p50Ms: rows * p50Ms, p95Ms: (rows - 1) * p50Ms + p95Ms });
  };

  const runTimes = (level: number, rows: number, length: number): RunTimes | undefined => {
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
      put(windowOf(level, 0, batch), ms);
      if (length > 0) put(windowOf(level, length, batch), ms);
    },
    recordHandover: (ms) => put(handover, ms),
    times(level, rows, length = 0) {
      const run = runTimes(level, rows, length);
      if (run === undefined || handover.times.length === 0) return run;
      const way = expected(handover);
      return {
        fastestMs: run.fastestMs + way.fastestMs,
        p50Ms: run.p50Ms + way.p50Ms,
        p95Ms: run.p95Ms + way.p95Ms,
      };
    },
    median(level, batch, length = 0) {
      const window = batchesOf(level, length)?.get(batch);
      return window === undefined || window.times.length < FEWEST_RUNS ? undefined : summary(window).p50Ms;
    },
    profiles: (level) => profilesOf(level, 0),
    lengthProfiles: (level) =>
      lengthsOf(level).flatMap((length) =>
        profilesOf(level, length).map((profile) => ({ ...profile, length })),
      ),
    dump: () =>
      [...levels].flatMap(([level, lengths]) =>
        [...lengths].flatMap(([length, batches]) =>
          longestAgoFirst(batches).map(([batch, window]) => ({
            level,
            length,
            batch,
            timesMs: inOrder(window).slice(-DUMPED),
          })),
        ),
      ),
    restore(recorded) {
      for (const { level, length, batch, timesMs } of recorded)
        for (const ms of timesMs.slice(-DUMPED)) {
          const window = windowOf(level, length, batch);
          addTime(window, ms);
          window.lastMs = now();
          window.restored++;
        }
    },
    restoredRuns: (level) =>
      Math.max(
        0,
        ...[...(levels.get(level)?.values() ?? [])].map((batches) => batches.get(1)?.restored ?? 0),
      ),
  };
}

function longestAgoFirst(batches: ReadonlyMap<number, Window>): [number, Window][] {
  return [...batches].toSorted(([, a], [, b]) => a.lastMs - b.lastMs);
}

function made<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const value = make();
  map.set(key, value);
  return value;
}

/** The fastest time stays. */
function scaled({ fastestMs, p50Ms, p95Ms }: RunTimes, factor: number): RunTimes {
  return { fastestMs, p50Ms: p50Ms * factor, p95Ms: p95Ms * factor };
}

function least(a: RunTimes, b: RunTimes): RunTimes {
  return {
    fastestMs: Math.min(a.fastestMs, b.fastestMs),
    p50Ms: Math.min(a.p50Ms, b.p50Ms),
    p95Ms: Math.min(a.p95Ms, b.p95Ms),
  };
}

function between(a: RunTimes, b: RunTimes, share: number): RunTimes {
  const mix = (from: number, to: number) => from + (to - from) * share;
  return {
    fastestMs: mix(a.fastestMs, b.fastestMs),
    p50Ms: mix(a.p50Ms, b.p50Ms),
    p95Ms: mix(a.p95Ms, b.p95Ms),
  };
}
