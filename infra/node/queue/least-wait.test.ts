import { describe, expect, test } from 'vitest';
import { entry, rules } from '../../../test/support/batch-entries.ts';
import { leastWaitMs } from './least-wait.ts';

describe('the least wait', () => {
  test('is what those with earlier deadlines take at their sparsest, fastest and best shared, over all threads', () => {
    const waiting = [entry('a', 10, { minLevel: 0 }), entry('b', 20, { minLevel: 0 }), entry('c', 90)];
    // Eight rows of level 0 take at best 3 + 7 ms, which is 1.25 ms a row.
    expect(leastWaitMs(waiting, entry('x', 20), rules(), 2)).toBeCloseTo(1.25);
    expect(leastWaitMs(waiting, entry('x', 5), rules(), 2)).toBe(0);
    const single = waiting.map((one) => ({ ...one, shareKey: undefined }));
    expect(leastWaitMs(single, entry('x', undefined), rules(), 1)).toBeCloseTo(3 + 3 + 7);
  });
});
