/** What an operator sets for a client's key. */
import { z } from 'zod';
import { modelIdSchema } from './manifest.ts';
import { nanoUsdSchema } from './policy/rules.ts';
import { slaClassNameSchema } from './policy.ts';

/** So many requests in each window; windows begin at whole multiples of their length. */
const rateLimitSchema = z.strictObject({
  requests: z.int().positive().max(1e9),
  windowS: z.int().positive().max(86_400),
});

/** What a key may spend in each period (UTC), or in all. */
const keyBudgetSchema = z.strictObject({
  nanoUsd: nanoUsdSchema.positive(),
  period: z.enum(['hour', 'day', 'month', 'total']),
});

export const keySettingsSchema = z.strictObject({
  name: z.string().min(1).max(128),
  /** SLA classes and models that it may use; null for all. */
  classes: z.array(slaClassNameSchema).min(1).max(64).nullable().default(null),
  models: z.array(modelIdSchema).min(1).max(256).nullable().default(null),
  rateLimit: rateLimitSchema.nullable().default(null),
  budget: keyBudgetSchema.nullable().default(null),
  /** Whether `X-Explain: 1` tells it the reasons of a decision: they name nodes. */
  mayExplain: z.boolean().default(false),
});

export const newKeySchema = keySettingsSchema.extend({
  /** Days until it expires; a key without them does not. */
  expiresInDays: z.number().positive().max(3650).optional(),
});

/** What is left out stays as it is. */
export const keyChangesSchema = z
  .strictObject({
    name: keySettingsSchema.shape.name,
    classes: keySettingsSchema.shape.classes.unwrap(),
    models: keySettingsSchema.shape.models.unwrap(),
    rateLimit: rateLimitSchema.nullable(),
    budget: keyBudgetSchema.nullable(),
    mayExplain: z.boolean(),
  })
  .partial();

export const rotationSchema = z.strictObject({
  /** For how long the secret before is good beside the new one; those before it end when they were to, or with 0 all at once. */
  overlapS: z
    .int()
    .nonnegative()
    .max(30 * 86_400)
    .default(86_400),
});

export type RateLimit = z.infer<typeof rateLimitSchema>;
export type KeyBudget = z.infer<typeof keyBudgetSchema>;
export type KeySettings = z.infer<typeof keySettingsSchema>;
export type KeyChanges = z.infer<typeof keyChangesSchema>;
