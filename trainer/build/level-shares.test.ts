import { expect, test } from 'vitest';
import type { Pair } from '../pairs/pair.ts';
import { levelShares, roundedNotes, withoutRepeats } from './level-shares.ts';

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

test('of levels that keep the same units the last one is left, and those left out are named', () => {
  const { widths, shares, notes } = withoutRepeats([[3], [5], [5], [10]], [0.3, 0.5, 0.52, 1]);
  expect(widths).toEqual([[3], [5], [10]]);
  expect(shares).toEqual([0.3, 0.52, 1]);
  expect(notes).toEqual([expect.stringContaining('50.0 %')]);
});

test('says where rounding keeps the sparsest level from what was asked for', () => {
  const rounded = { widths: [[8], [10]], shares: [0.25, 1] };
  expect(roundedNotes(model(100), rounded, 8)).toEqual([
    expect.stringMatching(/multiples of 8 .* 80\.0 % .* not 25\.0 %/),
  ]);
  expect(roundedNotes(model(100), { widths: [[2], [10]], shares: [0.2, 1] }, 2)).toEqual([]);
  expect(roundedNotes(model(100), rounded, 1)).toEqual([]);
});

test('pairs that are too narrow to be rounded are counted', () => {
  const left = expect.stringMatching(/1 of 1 pairs .* 16 units: their widths are not rounded/);
  expect(roundedNotes(model(100), { widths: [[2], [10]], shares: [0.2, 1] }, 16)).toEqual([left]);
});
