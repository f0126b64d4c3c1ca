import { describe, expect, test } from 'vitest';
import { randomSource } from '../search/random.ts';
import { meanInterval, wilsonInterval } from './interval.ts';

describe('Wilson interval', () => {
  test('matches published values', () => {
    // R's prop.test(9, 10, correct = FALSE) and binom::binom.wilson(0, 10).
    expect(wilsonInterval(9, 10).low).toBeCloseTo(0.5958, 4);
    expect(wilsonInterval(9, 10).high).toBeCloseTo(0.9821, 4);
    expect(wilsonInterval(0, 10)).toEqual({ low: 0, high: expect.closeTo(0.2775, 4) });
  });

  test('holds the proportion and stays within 0 and 1', () => {
    for (let successes = 0; successes <= 50; successes++) {
      const { low, high } = wilsonInterval(successes, 50);
      expect(low).toBeGreaterThanOrEqual(0);
      expect(high).toBeLessThanOrEqual(1);
      expect(low).toBeLessThanOrEqual(successes / 50);
      expect(high).toBeGreaterThanOrEqual(successes / 50);
    }
  });
});

describe('interval of a mean', () => {
  test('matches what another library computes', () => {
    // SciPy: t.interval(0.95, n - 1, mean, sem), of five values and of the first two, three and four.
    const values = [0.91, 0.97, 0.88, 0.99, 0.95];
    const expected = [
      [0.5588138579, 1.3211861421],
      [0.806162509, 1.033837491],
      [0.8559740735, 1.0190259265],
      [0.8844710979, 0.9955289021],
    ];
    for (const [i, [low = 0, high = 0]] of expected.entries()) {
      const interval = meanInterval(values.slice(0, i + 2));
      expect(interval.low).toBeCloseTo(low, 8);
      expect(interval.high).toBeCloseTo(high, 8);
    }
    expect(meanInterval(values).value).toBeCloseTo(0.94, 12);
  });

  test('ends where the range does, and is the range where there is one value alone', () => {
    const share = { low: 0, high: 1 };
    expect(meanInterval([1, 1, 1, 0.9], share).high).toBe(1);
    expect(meanInterval([0, 0.1], share).low).toBe(0);
    expect(meanInterval([0.5], share)).toEqual({ value: 0.5, low: 0, high: 1 });
    expect(meanInterval([2], { low: 0, high: Number.POSITIVE_INFINITY })).toEqual({
      value: 2,
      low: 0,
      high: 2,
    });
  });

  test('of a few values holds the mean as often as that of many', () => {
    const draw = randomSource(7, 0, 0);
    for (const count of [2, 3, 6, 12, 60]) {
      let held = 0;
      for (let run = 0; run < 4000; run++) {
        // About normal, mean 0: sums of uniform numbers.
        const values = Array.from({ length: count }, () =>
          Array.from({ length: 12 }, () => draw.uniform()).reduce((a, b) => a + b, -6),
        );
        const { low, high } = meanInterval(values);
        if (low <= 0 && 0 <= high) held++;
      }
      expect(Math.abs(held / 4000 - 0.95), `${count} values`).toBeLessThan(0.015);
    }
  });
});
