import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { latencyProfileSchema } from '../../../schema/manifest.ts';
import { lengthBucket } from '../../../schema/sequence-length.ts';
import { latencyWindows } from './latency-window.ts';
import { quantile } from './time-window.ts';

describe('latency windows', () => {
  test('the quantile is the smallest time that at least that share does not exceed', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
        fc.constantFrom(0.5, 0.95, 0.99),
        (times, q) => {
          const share = (limit: number) => times.filter((time) => time <= limit).length / times.length;
          const got = quantile(
            times.toSorted((a, b) => a - b),
            q,
          );
          expect(times).toContain(got);
          expect(share(got)).toBeGreaterThanOrEqual(q - 1e-12);
          for (const smaller of times.filter((time) => time < got)) expect(share(smaller)).toBeLessThan(q);
        },
      ),
    );
  });

  test('the last 256 times count', () => {
    const windows = latencyWindows('cpu', 1);
    for (let i = 0; i < 100; i++) windows.record(0, 1, 1000);
    for (let i = 0; i < 256; i++) windows.record(0, 1, 2);
    expect(windows.profiles(0)).toEqual([
      { device: 'cpu', threads: 1, batch: 1, samples: 256, p50Ms: 2, p95Ms: 2, p99Ms: 2 },
    ]);
  });

  test('levels and batch sizes are kept apart', () => {
    const windows = latencyWindows('cpu', 1);
    windows.record(0, 4, 40);
    windows.record(0, 1, 10);
    windows.record(1, 1, 30);
    expect(windows.profiles(0).map(({ batch, p50Ms }) => [batch, p50Ms])).toEqual([
      [1, 10],
      [4, 40],
    ]);
    expect(windows.profiles(1).map(({ batch, p50Ms }) => [batch, p50Ms])).toEqual([[1, 30]]);
    expect(windows.profiles(2)).toEqual([]);
  });

  test('any choice of batch sizes takes bounded room and leaves batch 1', () => {
    const windows = latencyWindows('cpu', 1);
    for (let batch = 1; batch <= 100; batch++) windows.record(0, batch, batch);
    const kept = windows.profiles(0).map(({ batch }) => batch);
    expect(kept).toEqual([1, 93, 94, 95, 96, 97, 98, 99, 100]);
  });

  test('the batch size recorded longest ago goes first, whenever it came, also after a restart', () => {
    let ms = 0;
    const windowsAt = () => latencyWindows('cpu', 1, [1], () => ms++);
    const windows = windowsAt();
    for (const batch of [2, 3, 4, 5, 6, 7, 8, 9, 2]) windows.record(0, batch, batch);
    const restarted = windowsAt();
    restarted.restore(windows.dump());
    for (const each of [windows, restarted]) {
      each.record(0, 10, 10);
      expect(each.profiles(0).map(({ batch }) => batch)).toEqual([2, 4, 5, 6, 7, 8, 9, 10]);
    }
  });

  test('sizes that are kept for good are not pushed out', () => {
    const windows = latencyWindows('cpu', 1, [1, 4]);
    for (let batch = 1; batch <= 100; batch++) windows.record(0, batch, batch);
    expect(windows.profiles(0).map(({ batch }) => batch)).toEqual([1, 4, 93, 94, 95, 96, 97, 98, 99, 100]);
  });

  test('times between measured sizes lie on the line between them, and beyond the largest in proportion', () => {
    const windows = latencyWindows('cpu', 1);
    for (const ms of [8, 10, 12]) windows.record(0, 2, ms);
    windows.record(0, 6, 30);
    expect(windows.times(0, 2)).toEqual({ fastestMs: 8, p50Ms: 10, p95Ms: 12 });
    expect(windows.times(0, 4)).toEqual({ fastestMs: 19, p50Ms: 20, p95Ms: 21 });
    expect(windows.times(0, 1)).toEqual({ fastestMs: 8, p50Ms: 10, p95Ms: 12 });
    // The fastest is a bound from below, for which a smaller batch's is good.
    expect(windows.times(0, 12)).toEqual({ fastestMs: 30, p50Ms: 60, p95Ms: 60 });
    expect(windows.times(1, 1)).toBeUndefined();
  });

  test('far beyond the largest size the fastest is half of what the line through one row and that size says', () => {
    const windows = latencyWindows('cpu', 1);
    for (const [rows, ms] of [
      [1, 2],
      [8, 9],
    ] as const)
      windows.record(0, rows, ms);
    const fastestOf = (level: number, rows: number) => windows.times(level, rows)?.fastestMs;
    expect([9, 16, 17, 299].map((rows) => fastestOf(0, rows))).toEqual([9, 9, 9, 150]);
    // As on a GPU, where more rows take no longer.
    for (const rows of [1, 8]) windows.record(1, rows, 5);
    expect(fastestOf(1, 299)).toBe(5);
    // Eight rows that met with a busy machine: one by one is the most that many rows take.
    for (const [rows, ms] of [
      [1, 2],
      [8, 80],
    ] as const)
      windows.record(2, rows, ms);
    expect(fastestOf(2, 300)).toBe(300);
    windows.record(3, 1, 2);
    expect(fastestOf(3, 300)).toBe(2);
  });

  test('times follow what is recorded, within a sixteenth of the window', () => {
    const windows = latencyWindows('cpu', 1);
    for (let i = 0; i < 256; i++) windows.record(0, 1, 100);
    expect(windows.times(0, 1)?.fastestMs).toBe(100);
    for (let i = 0; i < 16; i++) windows.record(0, 1, 1);
    expect(windows.times(0, 1)?.fastestMs).toBe(1);
  });

  test('lengths share a bucket up to a power of two', () => {
    expect([0, 1, 2, 3, 64, 65, 1000].map(lengthBucket)).toEqual([0, 1, 2, 4, 64, 128, 1024]);
  });

  test('lengths are kept apart, and together for those who ask without', () => {
    const windows = latencyWindows('cpu', 1);
    windows.record(0, 1, 10, 16);
    windows.record(0, 1, 80, 64);
    expect(windows.times(0, 1, 16)?.p50Ms).toBe(10);
    expect(windows.times(0, 1, 64)?.p50Ms).toBe(80);
    expect(windows.profiles(0)).toMatchObject([{ batch: 1, samples: 2 }]);
    expect(windows.lengthProfiles(0).map(({ length, p50Ms }) => [length, p50Ms])).toEqual([
      [16, 10],
      [64, 80],
    ]);
  });

  test('a length that was never run takes at most what the next longer one takes, or the shorter in proportion', () => {
    const windows = latencyWindows('cpu', 1);
    windows.record(0, 1, 10, 16);
    windows.record(0, 1, 80, 64);
    // The fastest has to bound from below what may be quadratic in the length.
    expect(windows.times(0, 1, 32)).toEqual({ fastestMs: 20, p50Ms: 80, p95Ms: 80 });
    expect(windows.times(0, 1, 128)).toEqual({ fastestMs: 80, p50Ms: 160, p95Ms: 160 });
    expect(windows.times(1, 1, 16)).toBeUndefined();
  });

  test('what is dumped can be restored elsewhere, and newer times still push it out', () => {
    const windows = latencyWindows('cpu', 1);
    for (let i = 1; i <= 300; i++) windows.record(2, 4, i, 8);
    const restored = latencyWindows('cpu', 1);
    restored.restore(windows.dump());
    expect(restored.profiles(2)).toMatchObject([{ batch: 4, samples: 64, p50Ms: 268 }]);
    expect(restored.times(2, 4, 8)).toEqual({ fastestMs: 237, p50Ms: 268, p95Ms: 297 });
    for (let i = 0; i < 256; i++) restored.record(2, 4, 1, 8);
    expect(restored.times(2, 4, 8)?.p95Ms).toBe(1);
  });

  test('a size that was slow long ago is held to be no slower than its rows one by one, so that it is tried again', () => {
    const clock = { ms: 0 };
    const windows = latencyWindows('cpu', 1, [1], () => clock.ms);
    for (let i = 0; i < 20; i++) windows.record(0, 8, 500);
    clock.ms = 29_000;
    windows.record(0, 1, 6);
    expect(windows.times(0, 8)?.p50Ms).toBe(500);
    clock.ms = 31_000;
    expect(windows.times(0, 8)).toEqual({ fastestMs: 48, p50Ms: 48, p95Ms: 48 });
    windows.record(0, 8, 45);
    expect(windows.times(0, 8)?.fastestMs).toBe(45);
  });

  test("a level's slowest runs are not held against it for ever", () => {
    const clock = { ms: 0 };
    const windows = latencyWindows('cpu', 1, [1], () => clock.ms);
    for (const ms of [4, 4, 4, 90]) windows.record(3, 1, ms);
    expect(windows.times(3, 1)?.p95Ms).toBe(90);
    clock.ms = 31_000;
    expect(windows.times(3, 1)?.p95Ms).toBe(4);
  });

  test('after a pause, few of the times before it count', () => {
    const clock = { ms: 0 };
    const windows = latencyWindows('cpu', 1, [1], () => clock.ms);
    for (let i = 0; i < 256; i++) windows.record(0, 1, 4);
    clock.ms = 60_000;
    windows.record(0, 1, 40);
    expect(windows.profiles(0)).toMatchObject([{ samples: 17, p50Ms: 4, p95Ms: 40 }]);
  });

  test('restored times go when runs here contradict them, and stay when these agree', () => {
    const restored = (ms: number) => {
      const windows = latencyWindows('cpu', 1);
      windows.restore([{ level: 0, length: 0, batch: 1, timesMs: Array(20).fill(100) }]);
      for (let i = 0; i < 3; i++) windows.record(0, 1, ms);
      return [windows.restoredRuns(0), windows.profiles(0)[0]?.samples];
    };
    expect([restored(40), restored(90), restored(110), restored(250)]).toEqual([
      [0, 3],
      [20, 23],
      [20, 23],
      [0, 3],
    ]);
  });

  test('restored times of a very short run are not contradicted by a thread that wakes slowly', () => {
    const restored = (ms: number) => {
      const windows = latencyWindows('cpu', 1);
      windows.restore([{ level: 0, length: 0, batch: 1, timesMs: Array(20).fill(0.02) }]);
      for (let i = 0; i < 3; i++) windows.record(0, 1, ms);
      return windows.restoredRuns(0);
    };
    expect([restored(0.005), restored(0.11), restored(0.2)]).toEqual([20, 20, 0]);
  });

  test('restored times of a size do not keep rows from sharing a run', () => {
    const windows = latencyWindows('cpu', 1);
    windows.restore([{ level: 0, length: 0, batch: 8, timesMs: [500, 500] }]);
    windows.record(0, 1, 6);
    expect(windows.times(0, 8)).toEqual({ fastestMs: 48, p50Ms: 48, p95Ms: 48 });
    windows.record(0, 8, 40);
    windows.record(0, 8, 41);
    windows.record(0, 8, 42);
    expect(windows.times(0, 8)).toEqual({ fastestMs: 40, p50Ms: 41, p95Ms: 42 });
  });

  test('it takes more than a few slow runs of a size to keep rows from sharing one', () => {
    const windows = latencyWindows('cpu', 1);
    for (let i = 0; i < 16; i++) {
      windows.record(0, 1, 6);
      expect(windows.times(0, 8)?.p50Ms ?? 48).toBe(48);
      windows.record(0, 8, 90);
    }
    expect(windows.times(0, 8)?.p50Ms).toBe(90);
  });

  test('no size takes longer than a larger one, whatever its own few runs met with', () => {
    const windows = latencyWindows('cpu', 1);
    for (let i = 0; i < 64; i++) {
      windows.record(0, 1, 5);
      windows.record(0, 8, 20);
    }
    for (const ms of [46, 220]) windows.record(0, 5, ms);
    expect(windows.times(0, 5)).toEqual({ fastestMs: 20, p50Ms: 20, p95Ms: 20 });
    // Between sizes, too.
    for (const rows of [2, 3, 4, 6, 7]) expect(windows.times(0, rows)?.p95Ms).toBeLessThanOrEqual(20);
    expect(windows.times(0, 1)?.p95Ms).toBe(5);
    expect(windows.times(0, 8)?.p95Ms).toBe(20);
  });

  test('the way to a thread and back is added to the times of every level and size', () => {
    const windows = latencyWindows('cpu', 1);
    windows.record(0, 1, 5);
    windows.record(0, 4, 9);
    for (const ms of [0.25, 0.5, 2]) windows.recordHandover(ms);
    expect(windows.times(0, 1)).toEqual({ fastestMs: 5.25, p50Ms: 5.5, p95Ms: 7 });
    expect(windows.times(0, 4)).toEqual({ fastestMs: 9.25, p50Ms: 9.5, p95Ms: 11 });
    expect(windows.times(1, 1)).toBeUndefined();
  });

  test('profiles fit the schema even where the clock saw no time pass', () => {
    const windows = latencyWindows('cpu', 1);
    windows.record(0, 1, 0);
    for (const profile of windows.profiles(0)) latencyProfileSchema.parse(profile);
  });
});
