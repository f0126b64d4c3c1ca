import { expect, test } from 'vitest';
import { defaultPolicy, policySchema } from '../../schema/policy.ts';
import { firstBoundMs } from './infer-request.ts';

const policy = (over: object) => policySchema.parse({ ...defaultPolicy, tiers: [], ...over });
const bound = (budget: string, ...policies: readonly object[]) =>
  firstBoundMs(
    new Headers({ 'x-latency-budget': budget }),
    policies.length === 0 ? undefined : policies.map(policy),
    true,
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

test('who leaves the budget to the policy has the most that it gives to anybody, once it is known', () => {
  const policies = [
    policy({ defaultLatencyBudgetMs: 40 }),
    policy({ classes: [{ name: 'gold' }, { name: 'batch', defaultLatencyBudgetMs: 700 }] }),
  ];
  expect(firstBoundMs(new Headers(), policies, true)).toBe(700);
  expect(firstBoundMs(new Headers(), policies.slice(0, 1), true)).toBe(40);
  // From before a pause, or none: what holds by now may give more.
  expect(firstBoundMs(new Headers(), policies, false)).toBe(30_000);
  expect(firstBoundMs(new Headers(), undefined, true)).toBe(30_000);
});
