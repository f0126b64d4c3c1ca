import { expect, test } from 'vitest';
import { limitTexts } from './memory-limits.ts';

test('a report says in which stage memory ran out, from which step on, and what was done', () => {
  expect(
    limitTexts([
      { stage: 'search', step: -3, recompute: true },
      { stage: 'recover', step: 12, microBatch: 8, recompute: true },
    ]),
  ).toEqual([
    'memory ran out in search: from before its first step on activations are computed twice',
    'memory ran out in recover: from step 12 on activations are computed twice, and 8 examples are computed at once',
  ]);
});
