import { expect, test } from 'vitest';
import { atMost } from './at-most.ts';

test('so many are under way at a time, in the order in which they came, whatever becomes of each', async () => {
  const inTurn = atMost(2);
  const begun: number[] = [];
  const ends = Array.from({ length: 5 }, () => Promise.withResolvers<number>());
  const works = ends.map(({ promise }, i) =>
    inTurn(() => {
      begun.push(i);
      return promise;
    }),
  );
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  await settled();
  expect(begun).toEqual([0, 1]);
  ends[1]?.reject(new Error('broken'));
  await expect(works[1]).rejects.toThrow('broken');
  await settled();
  expect(begun).toEqual([0, 1, 2]);
  for (const [i, { resolve }] of ends.entries()) resolve(i);
  expect(await Promise.all(works.filter((_, i) => i !== 1))).toEqual([0, 2, 3, 4]);
  expect(begun).toEqual([0, 1, 2, 3, 4]);
  const again = [5, 6, 7].map((i) => inTurn(async () => begun.push(i)));
  await Promise.all(again);
  expect(begun.slice(5)).toEqual([5, 6, 7]);
});
