import fc from 'fast-check';
import { expect, test } from 'vitest';
import { priceSchema } from '../../schema/policy.ts';
import { costNanoUsd } from './candidates.ts';

const highest = priceSchema.parse({ fixedNanoUsd: 1e12, perMsNanoUsd: 1e9, perKiBNanoUsd: 1e9 });

test('costs are whole nano-dollars that a double holds exactly, whatever a node claims to take', () => {
  const claimed = fc.oneof(fc.double({ min: 0, noNaN: true }), fc.constantFrom(1e15, 1e300, Infinity));
  fc.assert(
    fc.property(claimed, fc.integer({ min: 0, max: 2 ** 31 }), (executeMs, bytes) => {
      expect(costNanoUsd(highest, executeMs, bytes)).toSatisfy(Number.isSafeInteger);
    }),
  );
  expect(costNanoUsd({ ...highest, perMsNanoUsd: 0 }, Infinity, 1)).toBe(1e12 + 1e9);
  expect(costNanoUsd({ ...highest, fixedNanoUsd: 0 }, 1.5, 1025)).toBe(4e9);
});
