import { describe, expect, test } from 'vitest';
import { latencyWindows } from './latency-window.ts';
import { pacedTimes } from './paced-times.ts';

function known() {
  const clock = { ms: 0 };
  const windows = latencyWindows('cpu', 1, [1], () => clock.ms);
  for (let i = 0; i < 200; i++) for (const level of [0, 1]) windows.record(level, 1, 10 * (level + 1));
  return { clock, paced: pacedTimes(windows, () => clock.ms) };
}

describe('times at the pace of the machine', () => {
  test('of all levels are longer once runs of one are, but for what was fastest', () => {
    const { paced } = known();
    for (let i = 0; i < 30; i++) paced.record(1, 1, 40);
    const { fastestMs, p50Ms } = paced.times(0, 1)!;
    expect(fastestMs).toBe(10);
    expect(p50Ms).toBeGreaterThan(19);
    expect(p50Ms).toBeLessThan(21);
  });

  test('stay so while that lasts, until it has lasted for long', () => {
    const { clock, paced } = known();
    const runs = (count: number) => {
      for (let i = 0; i < count; i++) {
        clock.ms += 20;
        paced.record(1, 1, 40);
      }
    };
    runs(400);
    expect(paced.times(0, 1)!.p50Ms).toBeGreaterThan(19);
    runs(800);
    expect(paced.times(0, 1)!.p50Ms).toBeLessThan(11);
    expect(paced.times(1, 1)!.p50Ms).toBeGreaterThan(38);
  });

  test('of usual runs are told as they are at present', () => {
    const { paced } = known();
    const profile = { device: 'cpu', threads: 1, batch: 1, samples: 9, p50Ms: 1, p95Ms: 2, p99Ms: 3 };
    expect(paced.atPresent(profile)).toEqual(profile);
    for (let i = 0; i < 60; i++) paced.record(1, 1, 40);
    expect(paced.atPresent(profile).p99Ms).toBeCloseTo(6, 2);
  });

  test('are told to the microsecond, and never as none at all', () => {
    const { paced } = known();
    const profile = {
      device: 'cpu',
      threads: 1,
      batch: 1,
      samples: 9,
      p50Ms: 1e-4,
      p95Ms: 2 / 3,
      p99Ms: 10 / 3,
    };
    expect(paced.atPresent(profile)).toMatchObject({ p50Ms: 0.001, p95Ms: 0.667, p99Ms: 3.333 });
  });

  test('take no run for a faster one than it was', () => {
    const { paced } = known();
    for (let i = 0; i < 30; i++) paced.record(1, 1, 40);
    for (let i = 0; i < 30; i++) paced.record(1, 1, 20);
    expect(paced.times(1, 1)!.fastestMs).toBe(20);
  });

  test('hardly follow one slow run, however slow', () => {
    const { paced } = known();
    paced.record(1, 1, 10_000);
    expect(paced.times(0, 1)!.p50Ms).toBeLessThan(17);
    for (let i = 0; i < 20; i++) paced.record(1, 1, 20);
    expect(paced.times(0, 1)!.p50Ms).toBeLessThan(10.3);
  });

  test('are what was measured while runs are as ever, faster, or have not been for a second', () => {
    const { clock, paced } = known();
    for (let i = 0; i < 30; i++) paced.record(0, 1, 5);
    expect(paced.times(1, 1)).toEqual({ fastestMs: 20, p50Ms: 20, p95Ms: 20 });
    for (let i = 0; i < 30; i++) paced.record(0, 1, 40);
    expect(paced.times(1, 1)!.p50Ms).toBeGreaterThan(40);
    clock.ms += 1001;
    expect(paced.times(1, 1)!.p50Ms).toBe(20);
  });

  test('are not told by sizes that were hardly ever run', () => {
    const { paced } = known();
    for (let i = 0; i < 3; i++) paced.record(1, 5, 500 * (i + 1));
    expect(paced.times(0, 1)!.p50Ms).toBe(10);
  });
});
