import { expect, test } from 'vitest';
import type { Pair } from '../pairs/pair.ts';
import { levelShares } from './level-shares.ts';

/** A model of one pair with 9 units that can be cut, 10 FLOPs each. */
const model = (flops: number) => ({
  pairs: [{ units: 10, flopsPerUnit: 10, paramsPerUnit: 1 } as Pair],
  flops,
  params: 100,
  shared: [],
});
const even = { levels: 3, lowest: 0.25 };

test('an even grid begins where the model can be cut to', () => {
  expect(levelShares(model(100), even)).toEqual({ shares: [0.25, 0.625, 1], notes: [] });
  const { shares, notes } = levelShares(model(180), even);
  expect(shares).toEqual([0.5, 0.75, 1]);
  expect(notes).toEqual([expect.stringContaining('down to 50.0 % of its FLOPs')]);
});

test('of named shares, those below are one level', () => {
  const { shares, notes } = levelShares(model(180), { ...even, grid: [0.1, 0.3, 0.8] });
  expect(shares).toEqual([0.5, 0.8, 1]);
  expect(notes).toHaveLength(1);
});
