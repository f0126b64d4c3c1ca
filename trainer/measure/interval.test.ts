import { describe, expect, test } from 'vitest';
import { wilsonInterval } from './interval.ts';

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
