import { describe, expect, test } from 'vitest';
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
    // Python: statistics.NormalDist().inv_cdf(0.975) * stdev(x) / sqrt(5) on either side.
    const { value, low, high } = meanInterval([0.91, 0.97, 0.88, 0.99, 0.95]);
    expect(value).toBeCloseTo(0.94, 12);
    expect(low).toBeCloseTo(0.9008007203, 9);
    expect(high).toBeCloseTo(0.9791992797, 9);
  });
});
