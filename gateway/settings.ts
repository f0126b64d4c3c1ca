/** The Worker's bindings, and the settings read from them once per isolate. */
import { z } from 'zod';
import { SppError } from '../schema/errors.ts';

export interface Bindings {
  readonly DB: D1Database;
  readonly ARTIFACTS: R2Bucket;
  /** JSON: `[{ "name", "url" }]`. */
  readonly NODES?: string;
  /** Secrets: operators', the one shared with nodes, and the one that stored key hashes are made under. */
  readonly OPERATOR_TOKEN?: string;
  readonly NODE_TOKEN?: string;
  readonly KEY_PEPPER?: string;
  readonly MAX_BODY_BYTES?: string;
  readonly MAX_ARTIFACT_FILE_BYTES?: string;
}

const secret = z.string('is not set').min(24, 'is shorter than 24 characters');
const byteCount = (otherwise: number) => z.coerce.number().int().positive().default(otherwise);

const nodesSchema = z
  .string()
  .default('[]')
  .transform((text, context): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      context.addIssue('is not JSON');
      return z.NEVER;
    }
  })
  .pipe(
    z
      .array(z.strictObject({ name: z.string().min(1).max(128), url: z.url({ protocol: /^https?$/ }) }))
      .max(256)
      .refine((nodes) => new Set(nodes.map((node) => node.name)).size === nodes.length, 'names a node twice'),
  )
  .transform((nodes) => nodes.map(({ name, url }) => ({ name, url: url.replace(/\/+$/, '') })));

const settingsSchema = z.object({
  NODES: nodesSchema,
  OPERATOR_TOKEN: secret,
  NODE_TOKEN: secret,
  KEY_PEPPER: secret,
  MAX_BODY_BYTES: byteCount(8 * 2 ** 20),
  MAX_ARTIFACT_FILE_BYTES: byteCount(2 ** 31),
});

export interface NodeAddress {
  readonly name: string;
  /** Without a slash at its end. */
  readonly url: string;
}

export interface Settings {
  readonly nodes: readonly NodeAddress[];
  readonly operatorToken: string;
  readonly nodeToken: string;
  readonly keyPepper: string;
  readonly maxBodyBytes: number;
  readonly maxArtifactFileBytes: number;
}

/** @throws `not-ready` naming the bindings at fault, never their values: a gateway without secrets serves nobody */
export function readSettings(bindings: Readonly<Record<string, unknown>>): Settings {
  const parsed = settingsSchema.safeParse(bindings);
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, message }) => `${String(path[0])} ${message}`);
    throw new SppError('not-ready', `The gateway is not configured: ${faults.join('; ')}.`, {
      hint: 'Set the bindings that wrangler.toml describes.',
      retryAfterS: 30,
    });
  }
  const { data } = parsed;
  return {
    nodes: data.NODES,
    operatorToken: data.OPERATOR_TOKEN,
    nodeToken: data.NODE_TOKEN,
    keyPepper: data.KEY_PEPPER,
    maxBodyBytes: data.MAX_BODY_BYTES,
    maxArtifactFileBytes: data.MAX_ARTIFACT_FILE_BYTES,
  };
}
