/** What an operator says of a node, and what the node's own token is for. */
import { z } from 'zod';

/** Also what the node is called in addresses, logs and metrics. */
const nodeNameSchema = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/, 'is not of a-z, 0-9, dot, dash and underscore');

export const nodeClassSchema = z.string().min(1).max(64);

export const newNodeSchema = z.strictObject({
  name: nodeNameSchema,
  /** Origin; which ones are taken is for the gateway to say. */
  url: z.string().min(1).max(500),
  /** What its prices go by. */
  class: nodeClassSchema.default('default'),
});

/** What is left out stays as it is. */
export const nodeChangesSchema = z
  .strictObject({
    class: nodeClassSchema,
    /** Takes it out of service: it finishes what it has and gets nothing new. */
    draining: z.boolean(),
  })
  .partial();

/** What a node is answered when it reports by itself. */
export const heartbeatAnswerSchema = z.strictObject({
  /** Its name, as it was registered. */
  node: z.string(),
  /** Whether the operator has taken it out of service. */
  draining: z.boolean(),
});

export type NewNode = z.infer<typeof newNodeSchema>;
export type NodeChanges = z.infer<typeof nodeChangesSchema>;
