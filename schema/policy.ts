/** The operator's SLA-to-sparsity policy: how a latency budget becomes bounds on the levels that may serve it. */
import { z } from 'zod';

const share = z.number().min(0).max(1);

/** Requests whose budget is at most `upToMs` are served between these sparsities. */
export const tierSchema = z.strictObject({
  name: z.string().min(1).max(64),
  upToMs: z.number().positive().max(86_400_000),
  /** At least this sparse: the operator sells tight budgets as small models. */
  minSparsity: share.default(0),
  /** At most this sparse: the operator promises this much of the model. */
  maxSparsity: share.default(1),
});

export const policySchema = z
  .strictObject({
    schemaVersion: z.literal(1),
    /** The quantile of predicted time that must fit the budget. */
    quantile: z.number().min(0.5).max(0.999),
    /** Budget of a request that sends none. */
    defaultLatencyBudgetMs: z.number().positive().max(86_400_000),
    /** Held back from every budget for what no measurement of ours sees (the way to the client). */
    reserveMs: z.number().nonnegative().max(60_000),
    /** When no level fits: refuse with 422 before dispatch, or serve the sparsest allowed level and say so. */
    infeasible: z.enum(['refuse', 'serve-sparsest']),
    /** First match by ascending `upToMs`; a budget above the last tier has no bounds. */
    tiers: z.array(tierSchema).max(64),
  })
  .superRefine((policy, context) => {
    policy.tiers.forEach((tier, index) => {
      const below = policy.tiers[index - 1];
      if (below && below.upToMs >= tier.upToMs) {
        context.addIssue({
          code: 'custom',
          path: ['tiers', index, 'upToMs'],
          message: 'tiers must ascend by upToMs',
        });
      }
      if (tier.minSparsity > tier.maxSparsity) {
        context.addIssue({
          code: 'custom',
          path: ['tiers', index, 'minSparsity'],
          message: 'is above maxSparsity: the tier can match no level',
        });
      }
    });
  });

export type Policy = z.infer<typeof policySchema>;
export type PolicyTier = z.infer<typeof tierSchema>;

/** What a new installation serves by until its operator says otherwise. */
export const defaultPolicy: Policy = {
  schemaVersion: 1,
  quantile: 0.95,
  defaultLatencyBudgetMs: 100,
  reserveMs: 0.5,
  infeasible: 'serve-sparsest',
  tiers: [
    { name: 'interactive', upToMs: 10, minSparsity: 0.6, maxSparsity: 1 },
    { name: 'standard', upToMs: 25, minSparsity: 0.2, maxSparsity: 1 },
  ],
};
