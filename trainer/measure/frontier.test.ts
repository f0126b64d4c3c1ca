import fc from 'fast-check';
import { expect, test } from 'vitest';
import { beatenText, droppedText, frontier, type Measured } from './frontier.ts';

const level = (value: number, ...p50s: number[]): Measured => ({
  relativeFlops: 0.5,
  quality: { metric: 'accuracy', value, low: value, high: value, samples: 10 },
  latency: p50s.map((p50Ms, i) => ({
    device: 'cpu',
    threads: 1,
    batch: i + 1,
    samples: 3,
    p50Ms,
    p95Ms: p50Ms,
    p99Ms: p50Ms,
  })),
});

test('drops a level that another beats or equals in quality at every batch size, and says so', () => {
  const levels = [level(0.8, 1, 4), level(0.9, 1.2, 5), level(0.89, 1.3, 5), level(0.95, 2, 8)];
  const { kept, dropped } = frontier(levels);
  expect(kept).toEqual([0, 1, 3]);
  expect(dropped).toEqual([{ level: 2, better: 1 }]);
  expect(droppedText(dropped[0]!, levels)).toContain('was dropped');
});

test('says which levels are beaten where all are offered, and nothing where none is', () => {
  const { dropped } = frontier([level(0.8, 1), level(0.7, 2), level(0.9, 3)]);
  expect(beatenText(dropped)).toContain('1 (by 0)');
  expect(beatenText(frontier([level(0.8, 1), level(0.9, 2)]).dropped)).toBeUndefined();
});

test('names a level that is kept, not one that was dropped itself', () => {
  // Each beats the one before it, which is slower.
  const { kept, dropped } = frontier([level(0.7, 5), level(0.8, 4), level(0.9, 3), level(0.95, 6)]);
  expect(kept).toEqual([2, 3]);
  expect(dropped).toEqual([
    { level: 0, better: 2 },
    { level: 1, better: 2 },
  ]);
});

test('keeps a level that is faster at one batch size, and the dense one whatever is measured', () => {
  expect(frontier([level(0.9, 1, 9), level(0.9, 2, 8), level(0.9, 3, 9)]).kept).toEqual([0, 1, 2]);
  expect(frontier([level(0.9, 1), level(0.8, 2)]).kept).toEqual([0, 1]);
});

test('quality never falls along what is kept, up to the dense level, when latency rises with FLOPs', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 2, maxLength: 12 }), (values) => {
      const levels = values.map((value, i) => level(value / 100, i + 1));
      const { kept, dropped } = frontier(levels);
      expect([...kept, ...dropped.map((each) => each.level)].toSorted((a, b) => a - b)).toEqual([
        ...levels.keys(),
      ]);
      expect(dropped.every(({ better }) => kept.includes(better))).toBe(true);
      const offered = kept.slice(0, -1).map((place) => values[place]!);
      expect(offered).toEqual(offered.toSorted((a, b) => a - b));
    }),
  );
});
