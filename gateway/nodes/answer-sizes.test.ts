import { expect, test } from 'vitest';
import { answerSizes } from './answer-sizes.ts';

const kind = { model: 'm', version: 'v1', batch: 1, length: 0 };

test('answers are expected to be as large as those to their like were lately', () => {
  const sizes = answerSizes();
  expect(sizes.expected(kind)).toBe(0);
  sizes.record(kind, 1000, 0);
  sizes.record({ ...kind, batch: 8 }, 8000, 0);
  sizes.record({ ...kind, model: 'other' }, 5, 0);
  expect(sizes.expected(kind)).toBe(1000);
  expect(sizes.expected({ ...kind, batch: 8 })).toBe(8000);
  for (let i = 0; i < 5; i++) sizes.record(kind, 3000, 60_000);
  expect(sizes.expected(kind)).toBeGreaterThan(2900);
});

test('of more kinds than anybody has, the oldest are forgotten', () => {
  const sizes = answerSizes();
  for (let batch = 0; batch < 300; batch++) sizes.record({ ...kind, batch }, 100, 0);
  expect(sizes.expected({ ...kind, batch: 0 })).toBe(0);
  expect(sizes.expected({ ...kind, batch: 299 })).toBe(100);
});
