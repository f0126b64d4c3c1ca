import { describe, expect, test } from 'vitest';
import { qualityRange } from './quality-range.ts';

describe('the range of a chart of quality', () => {
  test('ends at round values around the path and what is near it', () => {
    // Bounds as they are measured, and a way of pruning that falls to chance.
    const own = [0.9666246222070677, 0.9733, 0.9730034915662681, 0.9791034915662681];
    expect(qualityRange(own, [0.976, 0.968, 0.1])).toEqual({ min: 0.94, max: 0.98, interval: 0.01 });
  });

  test('holds the path whole where there is nothing beside it', () => {
    expect(qualityRange([-2.61, -1.63], [])).toEqual({ min: -2.8, max: -1.6, interval: 0.2 });
    expect(qualityRange([12.3, 871.5], [])).toEqual({ min: 0, max: 1000, interval: 200 });
  });

  test('of one value only, has a height all the same', () => {
    const { min, max } = qualityRange([1, 1], []);
    expect(min).toBeLessThanOrEqual(1);
    expect(max).toBeGreaterThanOrEqual(1);
    const zero = qualityRange([0], []);
    expect(zero.interval).toBeGreaterThan(0);
  });

  test('labels of all ticks are short, whatever was measured', () => {
    for (let i = 1; i < 500; i++) {
      const low = Math.sin(i) * 10 ** ((i % 7) - 3);
      const { min, max, interval } = qualityRange([low, low + Math.abs(Math.cos(i))], []);
      expect(min).toBeLessThanOrEqual(low);
      expect(max).toBeGreaterThanOrEqual(low + Math.abs(Math.cos(i)) - 1e-9);
      for (const end of [min, max]) {
        expect(String(end).length).toBeLessThanOrEqual(8);
        expect(Math.abs(end / interval - Math.round(end / interval))).toBeLessThan(1e-6);
      }
    }
  });
});
