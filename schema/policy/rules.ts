/** The rules that a request is served by. A policy states all of them, a class or an override only those it changes. */
import { z } from 'zod';

const share = z.number().min(0).max(1);
const budgetMs = z.number().positive().max(86_400_000);
/** Whole nano-dollars (10^-9 USD), within the integers that a double holds exactly. */
export const nanoUsdSchema = z.int().nonnegative();

/** Requests whose budget is at most `upToMs` are served between these sparsities. */
const tierSchema = z.strictObject({
  name: z.string().min(1).max(64),
  upToMs: budgetMs,
  /** At least this sparse: the operator sells tight budgets as small models. */
  minSparsity: share.default(0),
  /** At most this sparse: the operator promises this much of the model. */
  maxSparsity: share.default(1),
});

/** Which of the levels that fit is the best. */
const objectiveSchema = z.discriminatedUnion('kind', [
  /** The highest quality, then the lowest cost. */
  z.strictObject({ kind: z.literal('quality-first') }),
  /** The lowest cost, then the highest quality; `minQuality` says what is good enough. */
  z.strictObject({ kind: z.literal('cost-first') }),
  /** The highest quality less cost, at what a quality higher by 1 is worth. */
  z.strictObject({ kind: z.literal('weighted'), nanoUsdPerQuality: nanoUsdSchema }),
]);

export const ruleFields = {
  /** The quantile of predicted time that must fit the budget. */
  quantile: z.number().min(0.5).max(0.999),
  /** Latency budget of a request that sends none. */
  defaultLatencyBudgetMs: budgetMs,
  /** A request that asks for less is refused as infeasible; one that asks for more than the most gets the most. */
  minLatencyBudgetMs: z.number().nonnegative().max(86_400_000),
  maxLatencyBudgetMs: budgetMs,
  /** Held back from every budget for what no measurement of ours sees (the way to the client). */
  reserveMs: z.number().nonnegative().max(60_000),
  /** Cost budget of a request that sends none, and the most that any may cost; null for no bound. */
  defaultCostBudgetNanoUsd: nanoUsdSchema.nullable(),
  maxCostBudgetNanoUsd: nanoUsdSchema.nullable(),
  /** Bounds on the levels, whatever the budget; tiers narrow them by the budget. */
  minQuality: share,
  minSparsity: share,
  maxSparsity: share,
  objective: objectiveSchema,
  /** When no level fits: refuse with 422 before dispatch, or serve the sparsest allowed level and say so. */
  infeasible: z.enum(['refuse', 'serve-sparsest']),
  /** Work in the fleet, in requests for each worker, from which on `overload` holds; null for never. */
  shedAbove: z.number().positive().max(1e6).nullable(),
  /** Refuse with 503, or serve the sparsest allowed level. */
  overload: z.enum(['refuse', 'serve-sparsest']),
  /** Share of requests that may be sent to a second node when the first is slow. */
  hedgeShare: share,
  /** First match by ascending `upToMs`; a budget above the last tier has the bounds above alone. */
  tiers: z.array(tierSchema).max(64),
} as const;

export const changedRulesSchema = z.strictObject(ruleFields).partial();

export type PolicyTier = z.infer<typeof tierSchema>;
export type Objective = z.infer<typeof objectiveSchema>;
export type PolicyRules = z.infer<z.ZodObject<typeof ruleFields>>;
/** Some of the rules, as a class or an override changes them. */
export type ChangedRules = z.infer<typeof changedRulesSchema>;

const ruleNames = Object.keys(ruleFields) as (keyof PolicyRules)[];

/** The rules alone, with the changes in place of what they change. */
export function changedBy(rules: PolicyRules, changes: ChangedRules = {}): PolicyRules {
  const changed: Record<string, unknown> = {};
  for (const rule of ruleNames) changed[rule] = changes[rule] === undefined ? rules[rule] : changes[rule];
  return changed as unknown as PolicyRules;
}
