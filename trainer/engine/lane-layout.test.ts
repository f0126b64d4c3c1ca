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
  const timed = (layout: typeof many, stepMs: number, typicalMs = stepMs) => ({ layout, stepMs, typicalMs });
  const at = (manyMs: number, oneMs: number) => fastestLayout([timed(many, manyMs), timed(one, oneMs)]);
  expect(at(10, 12)).toEqual(many);
  expect(at(10, 9.9)).toEqual(many);
  expect(at(10, 7)).toEqual(one);
  // One step that was lucky, or most of them disturbed.
  expect(fastestLayout([timed(many, 10, 11), timed(one, 7, 12)])).toEqual(many);
  expect(fastestLayout([timed(many, 10, 30), timed(one, 11, 12)])).toEqual(many);
});
