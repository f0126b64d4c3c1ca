import { expect, test } from 'vitest';
import { timesAlone } from './times-alone.ts';

const profile = (batch: number, p50Ms: number) => ({
  ...{ device: 'cpu', threads: 1, samples: 20, batch },
  ...{ p50Ms, p95Ms: 2 * p50Ms, p99Ms: 3 * p50Ms },
});
const level = (at: number, ...profiles: ReturnType<typeof profile>[]) => ({
  ...{ level: at, resident: true },
  profiles,
});

test('each level has the time of one row, in whatever order levels are told', () => {
  const levels = [level(1, profile(8, 9), profile(1, 2)), level(0, profile(1, 1))];
  expect(timesAlone(levels, 2)).toMatchObject([
    { p50Ms: 1, p95Ms: 2 },
    { p50Ms: 2, p95Ms: 4 },
  ]);
});

test.each([
  ['has measured in company only', [level(0, profile(1, 1)), level(1, profile(8, 9))]],
  ['leaves out', [level(0, profile(1, 1)), level(2, profile(1, 3))]],
])('a level that the node %s is told, and no other takes its place', (_, levels) => {
  expect(() => timesAlone(levels, levels.length)).toThrow('no time of one row at level 1');
});

test('a node that reports no level has no times', () => {
  expect(() => timesAlone([], 1)).toThrow('no time of one row at level 0');
});
