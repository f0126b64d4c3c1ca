import fc from 'fast-check';
import { expect, test } from 'vitest';
import { timeAt } from './quantiles.ts';

const times = { p50Ms: 10, p95Ms: 19, p99Ms: 23 };

test.each([
  [0.5, 10],
  [0.725, 14.5],
  [0.95, 19],
  [0.97, 21],
  [0.99, 23],
  // An exponential tail adds as much from 0.99 to 0.998 as from 0.95 to 0.99: each divides what is left by five.
  [0.998, 27],
])('the time at %d is %d ms', (quantile, ms) => {
  expect(timeAt(times, quantile)).toBeCloseTo(ms, 9);
});

test('a higher quantile is never a shorter time', () => {
  const q = fc.double({ min: 0.5, max: 0.999, noNaN: true });
  fc.assert(
    fc.property(q, q, (a, b) => {
      expect(timeAt(times, Math.max(a, b))).toBeGreaterThanOrEqual(timeAt(times, Math.min(a, b)));
    }),
  );
});
