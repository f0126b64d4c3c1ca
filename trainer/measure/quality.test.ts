import { expect, test } from 'vitest';
import { assertLabels } from './quality.ts';

const labelled = (...labels: number[]) => ({
  task: 'classification' as const,
  split: {
    count: labels.length,
    feeds: async () => ({}),
    labels: (indices: readonly number[]) => Int32Array.from(indices, (index) => labels[index] as number),
  },
  samples: 10,
});

test('labels outside of the classes are refused, and where none counts, as far as examples are measured', () => {
  expect(() => assertLabels(labelled(0, -1, 2), 3)).not.toThrow();
  expect(() => assertLabels(labelled(0, 3), 3)).toThrow(/label 3 is outside/);
  expect(() => assertLabels(labelled(-1, -1), 3)).toThrow(/None of the test examples has a label/);
  expect(() => assertLabels({ ...labelled(-1, 2), samples: 1 }, 3)).toThrow(/None of the test examples/);
  expect(() =>
    assertLabels(
      { ...labelled(-1), task: 'classification', split: { count: 1, feeds: async () => ({}) } },
      3,
    ),
  ).not.toThrow();
});
