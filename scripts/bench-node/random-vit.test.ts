import { expect, test } from 'vitest';
import { evenShares } from './random-vit.ts';

test('shares end at all units, whatever the number of levels', () => {
  for (let levels = 1; levels <= 20; levels++)
    for (const from of [0.1, 0.2, 0.3]) expect(Math.max(...evenShares(levels, from))).toBe(1);
  expect(evenShares(5, 0.2)).toEqual([0.2, 0.4, 0.6, 0.8, 1].map((share) => expect.closeTo(share, 12)));
});
