/** What the policy says to one request: the selector knows no more of a policy than this. */
import type { Objective, PolicyRules, PolicyTier } from '../../schema/policy.ts';

export interface Rules {
  /** The class whose rules these are; null for those that hold for everyone. */
  readonly slaClass: string | null;
  /** Name of the tier that narrows the bounds; null where none applies. */
  readonly tier: string | null;
  /** The request's latency budget, whether it named one or the policy did, and never above the policy's most. */
  readonly budgetMs: number;
  /** A budget below this is refused. */
  readonly minBudgetMs: number;
  /** What the request may cost at most, in whole nano-dollars; null for any. */
  readonly costBudgetNanoUsd: number | null;
  /** The quantile of predicted time that must fit the budget. */
  readonly quantile: number;
  /** Held back from the budget for what no measurement sees. */
  readonly reserveMs: number;
  readonly minSparsity: number;
  readonly maxSparsity: number;
  /** The higher of what the policy promises and what the request asks for. */
  readonly minQuality: number;
  readonly objective: Objective;
  readonly infeasible: 'refuse' | 'serve-sparsest';
  /** Work in the fleet, in requests for each worker, from which on `overload` holds. */
  readonly shedAbove: number;
  readonly overload: 'refuse' | 'serve-sparsest';
  /** Share of requests that may be sent to a second node when the first is slow; 0 for none. */
  readonly hedgeShare: number;
}

/** What of a request the policy looks at. */
export interface Ask {
  readonly latencyBudgetMs: number | undefined;
  readonly costBudgetNanoUsd?: number | undefined;
  readonly minQuality?: number | undefined;
}

export function rulesOf(policy: PolicyRules, ask: Ask, slaClass: string | null = null): Rules {
  const budgetMs = Math.min(ask.latencyBudgetMs ?? policy.defaultLatencyBudgetMs, policy.maxLatencyBudgetMs);
  const tier = tierOf(policy, budgetMs);
  const caps = [
    ask.costBudgetNanoUsd ?? policy.defaultCostBudgetNanoUsd ?? Number.POSITIVE_INFINITY,
    policy.maxCostBudgetNanoUsd ?? Number.POSITIVE_INFINITY,
  ];
  const cap = Math.min(...caps);
  return {
    slaClass,
    tier: tier?.name ?? null,
    budgetMs,
    minBudgetMs: policy.minLatencyBudgetMs,
    costBudgetNanoUsd: Number.isFinite(cap) ? cap : null,
    quantile: policy.quantile,
    reserveMs: policy.reserveMs,
    minSparsity: Math.max(policy.minSparsity, tier?.minSparsity ?? 0),
    maxSparsity: Math.min(policy.maxSparsity, tier?.maxSparsity ?? 1),
    minQuality: Math.max(policy.minQuality, ask.minQuality ?? 0),
    objective: policy.objective,
    infeasible: policy.infeasible,
    shedAbove: policy.shedAbove ?? Number.POSITIVE_INFINITY,
    overload: policy.overload,
    hedgeShare: policy.hedgeShare,
  };
}

/** The tier a budget falls in: the first whose `upToMs` is not below it. */
function tierOf({ tiers }: Pick<PolicyRules, 'tiers'>, budgetMs: number): PolicyTier | undefined {
  return tiers.find((tier) => budgetMs <= tier.upToMs);
}
