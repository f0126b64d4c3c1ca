/** What an inference node tells the gateway about itself at `GET /v2/report`. */
import { z } from 'zod';
import { artifactVersionSchema, latencyProfileSchema, modelIdSchema } from './manifest.ts';

const nodeStateSchema = z.enum(['starting', 'ready', 'draining']);

const nodeModelSchema = z.strictObject({
  model: modelIdSchema,
  artifactVersion: artifactVersionSchema,
  levels: z.array(
    z.strictObject({
      level: z.int().nonnegative(),
      resident: z.boolean(),
      /** Execution times measured on this node: at load first, then from live requests. Over all lengths, where inputs have one. */
      profiles: z.array(latencyProfileSchema),
      /** The same by length, up to `length` elements along the axis of sequences; for models whose inputs have such an axis. */
      lengthProfiles: z.array(latencyProfileSchema.extend({ length: z.int().positive() })).optional(),
    }),
  ),
});

export const nodeReportSchema = z.strictObject({
  node: z.string().min(1).max(128),
  state: nodeStateSchema,
  /** Milliseconds since the epoch, by the node's clock. */
  reportedAtMs: z.number().nonnegative(),
  /** When this process began, by the same clock: another value is another process, of which nothing is known yet. */
  startedAtMs: z.number().nonnegative().optional(),
  workers: z.int().positive(),
  queueLength: z.int().nonnegative(),
  inFlight: z.int().nonnegative(),
  models: z.array(nodeModelSchema),
});

export type NodeReport = z.infer<typeof nodeReportSchema>;
export type NodeState = z.infer<typeof nodeStateSchema>;
