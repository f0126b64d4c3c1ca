import fc from 'fast-check';
import { expect, test } from 'vitest';
import { QuickestByCost } from './quickest-by-cost.ts';

test('the least time at a cost is that of all that cost no more, in whatever order they came', () => {
  const some = fc.array(fc.tuple(fc.nat(9), fc.nat(9)), { maxLength: 20 });
  fc.assert(
    fc.property(some, (taken) => {
      const quickest = new QuickestByCost();
      for (const [cost, ms] of taken) quickest.take(cost, ms);
      for (let most = 0; most <= 10; most++) {
        const within = taken.filter(([cost]) => cost <= most).map(([, ms]) => ms);
        expect(quickest.msAt(most)).toBe(Math.min(...within));
      }
    }),
  );
});
