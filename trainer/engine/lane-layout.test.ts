import { expect, test } from 'vitest';
import { fastestLayout, layoutsFor, layoutText } from './lane-layout.ts';

test('tries a worker a core, one of all cores, and one between', () => {
  expect(layoutsFor(1)).toEqual([{ workers: 1, threads: 1 }]);
  expect(layoutsFor(2)).toEqual([
    { workers: 2, threads: 1 },
    { workers: 1, threads: 2 },
  ]);
  expect(layoutsFor(16).map(layoutText)).toEqual([
    '8 workers of 2 threads',
    '4 workers of 4 threads',
    '1 worker of 16 threads',
  ]);
});

test('takes what is clearly faster, and a worker a core where nothing is', () => {
  const [many, one] = layoutsFor(2) as [ReturnType<typeof layoutsFor>[0], ReturnType<typeof layoutsFor>[0]];
  const at = (manyMs: number, oneMs: number) =>
    fastestLayout([
      { layout: many, stepMs: manyMs },
      { layout: one, stepMs: oneMs },
    ]);
  expect(at(10, 12)).toEqual(many);
  expect(at(10, 9.9)).toEqual(many);
  expect(at(10, 7)).toEqual(one);
});
