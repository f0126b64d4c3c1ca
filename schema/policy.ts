/**
 * The operator's policy: how the class of a request and its budgets become bounds, an objective and a price.
 * The rules at the top hold for everyone; a class changes some of them, an override some for one key.
 *
 *   rules  <─ classes[name]  <─ overrides[key]      the later one wins, field by field
 */
import { z } from 'zod';
import { nodeClassSchema } from './node-registration.ts';
import { checkPolicy } from './policy/checks.ts';
import {
  changedBy,
  changedRulesSchema,
  nanoUsdSchema,
  type PolicyRules,
  ruleFields,
} from './policy/rules.ts';

export type { Objective, PolicyRules, PolicyTier } from './policy/rules.ts';

const share = z.number().min(0).max(1);

export const slaClassNameSchema = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/, 'is not a name such as "gold" or "team-a"');

const slaClassSchema = changedRulesSchema.extend({ name: slaClassNameSchema });

const keyOverrideSchema = changedRulesSchema.extend({
  /** Id of the API key. */
  key: z.string().regex(/^key_[0-9a-f]{16}$/, 'is not the id of a key, such as "key_0123456789abcdef"'),
  /** Class of this key's requests that name none. */
  defaultClass: slaClassNameSchema.optional(),
});

const canarySchema = z.discriminatedUnion('kind', [
  /** This share of a model's requests goes to one artifact version, the rest to the other. */
  z.strictObject({
    kind: z.literal('artifact'),
    model: z.string().min(1).max(128),
    baseline: z.string().min(1).max(128),
    candidate: z.string().min(1).max(128),
    share,
  }),
  /** This document governs a share of requests only; the rest goes by an earlier version of the policy. */
  z.strictObject({ kind: z.literal('policy'), baseline: z.int().nonnegative(), share }),
]);

/** What one request costs: fixed, for each begun millisecond of execution, and for each begun KiB of its body. */
export const priceSchema = z.strictObject({
  /** As nodes are registered with it. */
  nodeClass: nodeClassSchema.default('*'),
  model: z.string().min(1).max(128).default('*'),
  level: z.union([z.literal('*'), z.int().nonnegative()]).default('*'),
  fixedNanoUsd: nanoUsdSchema.max(1e12).default(0),
  perMsNanoUsd: nanoUsdSchema.max(1e9).default(0),
  perKiBNanoUsd: nanoUsdSchema.max(1e9).default(0),
});

export const policySchema = z
  .strictObject({
    /** Version 1 is what is here without all that has a default; it is read as such. */
    schemaVersion: z
      .literal([1, 2])
      .transform((): 2 => 2)
      .pipe(z.literal(2)),
    ...ruleFields,
    minLatencyBudgetMs: ruleFields.minLatencyBudgetMs.default(0),
    maxLatencyBudgetMs: ruleFields.maxLatencyBudgetMs.default(86_400_000),
    defaultCostBudgetNanoUsd: ruleFields.defaultCostBudgetNanoUsd.default(null),
    maxCostBudgetNanoUsd: ruleFields.maxCostBudgetNanoUsd.default(null),
    minQuality: share.default(0),
    minSparsity: share.default(0),
    maxSparsity: share.default(1),
    objective: ruleFields.objective.default({ kind: 'quality-first' }),
    shedAbove: ruleFields.shedAbove.default(null),
    overload: ruleFields.overload.default('refuse'),
    hedgeShare: share.default(0),
    classes: z.array(slaClassSchema).max(64).default([]),
    /** Class of requests that name none; null for the rules above as they are. */
    defaultClass: slaClassNameSchema.nullable().default(null),
    overrides: z.array(keyOverrideSchema).max(1000).default([]),
    canary: canarySchema.nullable().default(null),
    /** The first that matches counts; a request that none matches is free. */
    prices: z.array(priceSchema).max(256).default([]),
  })
  .superRefine((policy, context) => {
    for (const { path, message } of checkPolicy(policy))
      context.addIssue({ code: 'custom', path: [...path], message });
  });

export type Policy = z.infer<typeof policySchema>;
export type PolicyPrice = z.infer<typeof priceSchema>;
export type Canary = z.infer<typeof canarySchema>;

/**
 * The rules for a request of a class and a key.
 * @param slaClass a class of the document, or null for none
 * @returns undefined when the document has no such class
 */
export function rulesFor(policy: Policy, slaClass: string | null, keyId?: string): PolicyRules | undefined {
  const named = policy.classes.find(({ name }) => name === slaClass);
  if (slaClass !== null && named === undefined) return undefined;
  return changedBy(
    changedBy(policy, named),
    policy.overrides.find(({ key }) => key === keyId),
  );
}

/** What a new installation serves by until its operator says otherwise. */
export const defaultPolicy: Policy = policySchema.parse({
  schemaVersion: 2,
  quantile: 0.99,
  defaultLatencyBudgetMs: 100,
  reserveMs: 0.5,
  infeasible: 'serve-sparsest',
  tiers: [
    { name: 'interactive', upToMs: 10, minSparsity: 0.6, maxSparsity: 1 },
    { name: 'standard', upToMs: 25, minSparsity: 0.2, maxSparsity: 1 },
  ],
});
