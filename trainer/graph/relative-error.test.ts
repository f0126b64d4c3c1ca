import { expect, test } from 'vitest';
import { relativeError } from './relative-error.ts';

test('measures the largest difference against the largest reference value, and says where it is', () => {
  expect(relativeError([1, 2, 5], [1, 2.5, 4])).toEqual({ relative: 0.25, index: 2, actual: 5, expected: 4 });
});

test('finds equal values equal, NaN and infinities included', () => {
  expect(relativeError([Number.NaN, Infinity, 3n], [Number.NaN, Infinity, 3n]).relative).toBe(0);
});

test('is infinite for a NaN or infinity on one side only, and for different lengths', () => {
  for (const [a, b] of [
    [[Number.NaN], [1]],
    [[1], [Infinity]],
    [[1, 2], [1]],
  ] as const)
    expect(relativeError(a, b).relative).toBe(Infinity);
});
