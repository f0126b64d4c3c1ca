/** What the policy says to one request: the selector knows no more of a policy than this. */
import type { Policy, PolicyTier } from '../../schema/policy.ts';

/** What the best of the feasible is: quality, then cost; cost, then quality; or quality less cost at a rate. */
export type Objective =
  | { readonly kind: 'quality-first' }
  | { readonly kind: 'cost-first' }
  /** `nanoUsdPerQuality`: what a quality higher by 1 may cost more. */
  | { readonly kind: 'weighted'; readonly nanoUsdPerQuality: number };

export interface Rules {
  /** Name of the class or tier that the bounds come from; null where none applies. */
  readonly tier: string | null;
  /** The request's latency budget, whether it named one or the policy did. */
  readonly budgetMs: number;
  /** The quantile of predicted time that must fit the budget. */
  readonly quantile: number;
  /** Held back from the budget for what no measurement sees. */
  readonly reserveMs: number;
  readonly minSparsity: number;
  readonly maxSparsity: number;
  readonly objective: Objective;
  readonly infeasible: 'refuse' | 'serve-sparsest';
  /** Work in the fleet, in requests for each worker, from which on this class is turned away. */
  readonly shedAbove: number;
  /** Share of requests that may be sent to a second node when the first is slow; 0 for none. */
  readonly hedgeShare: number;
}

/** What of a request the policy looks at. */
export interface Ask {
  readonly latencyBudgetMs: number | undefined;
}

export function rulesOf(policy: Policy, { latencyBudgetMs }: Ask): Rules {
  const budgetMs = latencyBudgetMs ?? policy.defaultLatencyBudgetMs;
  const tier = tierOf(policy, budgetMs);
  return {
    tier: tier?.name ?? null,
    budgetMs,
    quantile: policy.quantile,
    reserveMs: policy.reserveMs,
    minSparsity: tier?.minSparsity ?? 0,
    maxSparsity: tier?.maxSparsity ?? 1,
    objective: { kind: 'quality-first' },
    infeasible: policy.infeasible,
    shedAbove: Number.POSITIVE_INFINITY,
    hedgeShare: 0,
  };
}

/** The tier a budget falls in: the first whose `upToMs` is not below it. */
export function tierOf(policy: Policy, budgetMs: number): PolicyTier | undefined {
  return policy.tiers.find((tier) => budgetMs <= tier.upToMs);
}
