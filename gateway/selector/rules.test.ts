import { describe, expect, test } from 'vitest';
import { defaultPolicy } from '../../schema/policy.ts';
import { rulesOf } from './rules.ts';

const policy = {
  ...defaultPolicy,
  defaultLatencyBudgetMs: 40,
  maxLatencyBudgetMs: 500,
  minQuality: 0.7,
  minSparsity: 0.1,
  maxSparsity: 0.8,
  tiers: [{ name: 'tight', upToMs: 20, minSparsity: 0.5, maxSparsity: 1 }],
};

describe('the rules of one request', () => {
  test('take the default budget where none is named, and never more than the most', () => {
    const budget = (latencyBudgetMs?: number) => rulesOf(policy, { latencyBudgetMs }).budgetMs;
    expect([budget(), budget(7), budget(10_000)]).toEqual([40, 7, 500]);
  });

  test('narrow the bounds by the tier of the budget', () => {
    expect(rulesOf(policy, { latencyBudgetMs: 20 })).toMatchObject({
      tier: 'tight',
      minSparsity: 0.5,
      maxSparsity: 0.8,
    });
    expect(rulesOf(policy, { latencyBudgetMs: 21 })).toMatchObject({ tier: null, minSparsity: 0.1 });
  });

  test('keep the stricter of what the policy and the request say of quality and cost', () => {
    const rules = (costBudgetNanoUsd?: number, minQuality?: number) =>
      rulesOf(
        { ...policy, defaultCostBudgetNanoUsd: 50, maxCostBudgetNanoUsd: 100 },
        { latencyBudgetMs: undefined, costBudgetNanoUsd, minQuality },
      );
    expect([rules(), rules(70), rules(170)].map((r) => r.costBudgetNanoUsd)).toEqual([50, 70, 100]);
    expect([rules(), rules(1, 0.6), rules(1, 0.9)].map((r) => r.minQuality)).toEqual([0.7, 0.7, 0.9]);
    expect(rulesOf(policy, { latencyBudgetMs: 1 }).costBudgetNanoUsd).toBeNull();
  });
});
