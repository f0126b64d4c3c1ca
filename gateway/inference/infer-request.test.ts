import { expect, test } from 'vitest';
import { defaultPolicy, policySchema } from '../../schema/policy.ts';
import { firstBoundMs } from './infer-request.ts';

const bound = (budget: string, ...policies: readonly object[]) =>
  firstBoundMs(
    new Headers({ 'x-latency-budget': budget }),
    policies.length === 0
      ? undefined
      : policies.map((over) => policySchema.parse({ ...defaultPolicy, tiers: [], ...over })),
  );

test('a request that will be served late has the time for that from the start, and not once the database was read', () => {
  expect(bound('5ms', {})).toBe(100);
  expect(bound('300ms', {})).toBe(300);
  expect(bound('5ms', {}, { defaultLatencyBudgetMs: 40 })).toBe(40);
});

test.each([
  ['all', { infeasible: 'refuse' }],
  ['a class', { classes: [{ name: 'gold', infeasible: 'refuse' }] }],
  ['a key', { overrides: [{ key: 'key_0123456789abcdef', infeasible: 'refuse' }] }],
])('where %s may be refused, it has its budget', (_, over) => {
  expect(bound('7ms', over)).toBe(7);
  expect(bound('7ms', {}, over)).toBe(7);
});

test('before any policy was read it has its budget, and a little for the checks', () => {
  expect([bound('7ms'), bound('1ms')]).toEqual([7, 5]);
});
