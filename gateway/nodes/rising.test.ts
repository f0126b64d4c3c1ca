import fc from 'fast-check';
import { expect, test } from 'vitest';
import { rising } from './rising.ts';

const seen = fc.array(
  fc.tuple(fc.double({ min: 0, max: 1e4, noNaN: true }), fc.double({ min: 0, max: 100, noNaN: true })),
  { maxLength: 12 },
);
const split = (pairs: readonly (readonly [number, number])[]) =>
  [pairs.map(([value]) => value), pairs.map(([, weight]) => weight)] as const;

test('never falls, stays within what was seen, and leaves alone what rises', () => {
  fc.assert(
    fc.property(seen, (pairs) => {
      const [values, weights] = split(pairs);
      const risen = rising(values, weights);
      expect(risen).toHaveLength(values.length);
      for (const [at, value] of risen.entries()) {
        expect(value).toBeGreaterThanOrEqual(risen[at - 1] ?? 0);
        expect(value).toBeLessThanOrEqual(Math.max(...values) * (1 + 1e-9));
      }
      const sorted = values.toSorted((a, b) => a - b);
      expect(rising(sorted, weights)).toEqual(sorted);
    }),
  );
});

test('what is nowhere less before it is nowhere less after', () => {
  fc.assert(
    fc.property(
      seen,
      fc.array(fc.double({ min: 0, max: 100, noNaN: true }), { minLength: 12 }),
      (pairs, more) => {
        const [values, weights] = split(pairs);
        const higher = rising(
          values.map((value, at) => value + (more[at] ?? 0)),
          weights,
        );
        for (const [at, value] of rising(values, weights).entries())
          expect(higher[at]).toBeGreaterThanOrEqual(value * (1 - 1e-9));
      },
    ),
  );
});

test('neighbours that fall meet where their weights have it; one of no weight follows', () => {
  expect(rising([1, 6, 3, 9], [1, 1, 2, 1])).toEqual([1, 4, 4, 9]);
  expect(rising([8, 5], [0, 3])).toEqual([5, 5]);
  expect(rising([4, 5], [3, 0])).toEqual([4, 5]);
});
