import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decayingHistogram } from './decaying-histogram.ts';

function nearestRank(sample: readonly number[], quantile: number): number {
  const sorted = sample.toSorted((a, b) => a - b);
  return sorted[Math.ceil(quantile * sorted.length) - 1] as number;
}

describe('a decaying histogram', () => {
  test('agrees with the quantiles of the sample to its resolution', () => {
    const sample = fc.array(fc.double({ min: 0.1, max: 5000, noNaN: true }), {
      minLength: 1,
      maxLength: 200,
    });
    fc.assert(
      fc.property(sample, (values) => {
        const histogram = decayingHistogram(1000);
        for (const value of values) histogram.record(value, 0);
        const got = histogram.quantiles();
        for (const [name, quantile] of [
          ['p50Ms', 0.5],
          ['p95Ms', 0.95],
          ['p99Ms', 0.99],
        ] as const) {
          const ratio = (got?.[name] ?? Number.NaN) / nearestRank(values, quantile);
          expect(ratio).toBeGreaterThan(1 / 1.062);
          expect(ratio).toBeLessThan(1.062);
        }
        expect(histogram.mean()).toBeCloseTo(values.reduce((sum, v) => sum + v, 0) / values.length, 6);
      }),
    );
  });

  test('is exact where all samples are the same', () => {
    const histogram = decayingHistogram(1000);
    for (let i = 0; i < 10; i++) histogram.record(9, 100 * i);
    const { p50Ms = 0, p99Ms = 0 } = histogram.quantiles() ?? {};
    expect(p50Ms).toBeCloseTo(9, 5);
    expect(p99Ms).toBe(p50Ms);
  });

  test('a sample weighs half as much after each half-life, so the new outweighs the old', () => {
    const histogram = decayingHistogram(1000);
    for (let i = 0; i < 8; i++) histogram.record(100, 0);
    expect(histogram.weight(0)).toBe(8);
    expect(histogram.weight(3000)).toBeCloseTo(1);
    histogram.record(1, 3000);
    histogram.record(1, 3000);
    expect(histogram.quantiles()?.p50Ms).toBe(1);
    expect(histogram.weight(3000)).toBeCloseTo(3);
  });

  test('goes on for days', () => {
    const histogram = decayingHistogram(1000);
    for (let day = 0; day < 3; day++)
      for (let i = 0; i < 4; i++) histogram.record(10 ** day, day * 86_400_000 + i);
    expect(histogram.quantiles()?.p50Ms).toBeCloseTo(100, 3);
    expect(histogram.weight(2 * 86_400_000 + 3)).toBeCloseTo(4, 1);
  });

  test('takes times outside of its range for the nearest inside', () => {
    const histogram = decayingHistogram(1000);
    histogram.record(0, 0);
    expect(histogram.quantiles()?.p50Ms).toBe(0);
    histogram.record(1e9, 0);
    expect(histogram.quantiles()?.p99Ms).toBe(1e9);
    expect(decayingHistogram(1).quantiles()).toBeUndefined();
  });
});
