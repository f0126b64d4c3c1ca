import { expect, test } from 'vitest';
import { publishedLoss } from './subject.ts';

test('the published search takes the loss of a task that has labels, and what the dense model answers elsewhere', () => {
  const labels = { targets: { kind: 'class', names: ['ham', 'spam'] } } as const;
  expect(publishedLoss({}, labels)).toBe('cross-entropy');
  expect(publishedLoss({}, {})).toBe('distil');
  expect(publishedLoss({ task: 'embedding' }, labels), 'those of a probe').toBe('distil');
});
