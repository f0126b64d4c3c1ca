/** The Worker's bindings, and the settings read from them once per isolate. */
import { z } from 'zod';
import { SppError } from '../schema/errors.ts';
import { operatorRoles } from '../schema/operator-role.ts';
import type { OidcSettings } from './auth/oidc.ts';
import { trustedUrl } from './auth/trusted-url.ts';
import type { KeyLedger } from './budget/ledger-object.ts';
import type { NodeAddress } from './nodes/node-address.ts';
import type { NodeNetwork } from './nodes/node-network.ts';
import { nodeOrigin } from './nodes/node-origin.ts';

export interface Bindings {
  readonly DB: D1Database;
  readonly ARTIFACTS: R2Bucket;
  readonly LEDGERS: DurableObjectNamespace<KeyLedger>;
  /** JSON: `[{ "name", "url", "class" }]`. */
  readonly NODES?: string;
  /** `on` takes nodes on this machine or in a network of the deployment's own, and http to them. */
  readonly PRIVATE_NODES?: string;
  /** The operator's console, as it was built. */
  readonly CONSOLE?: Fetcher;
  /** What nodes are reached through, such as an mTLS certificate; without it the runtime's own way. */
  readonly NODE_NETWORK?: NodeNetwork;
  /** Secrets: operators', the one shared with nodes, and the one that stored key hashes are made under. */
  readonly OPERATOR_TOKEN?: string;
  readonly NODE_TOKEN?: string;
  /** The nodes' secret before `NODE_TOKEN`, good beside it while nodes are given the new one. */
  readonly NODE_TOKEN_BEFORE?: string;
  /** Reads `/metrics` and nothing else. */
  readonly SCRAPE_TOKEN?: string;
  readonly KEY_PEPPER?: string;
  readonly MAX_BODY_BYTES?: string;
  /** Operators by an identity provider; all of it is off without an issuer. `OIDC_ROLES` is JSON: role to claim value. */
  readonly OIDC_ISSUER?: string;
  readonly OIDC_AUDIENCE?: string;
  readonly OIDC_ROLE_CLAIM?: string;
  readonly OIDC_ROLES?: string;
  /** Origins whose pages may call the gateway, with commas between; `*` for all. */
  readonly CORS_ORIGINS?: string;
  /** `on` writes the sampled decisions to the log, too. */
  readonly LOG_DECISIONS?: string;
  readonly MAX_ARTIFACT_FILE_BYTES?: string;
  /** `off` where nothing tells clients that hold their body back to go on (100 Continue): Cloudflare does, its runtime alone does not. */
  readonly SAYS_CONTINUE?: string;
  /** Share of requests of which a copy goes to a node that nothing was learned of lately. */
  readonly PROBE_SHARE?: string;
}

/** Fails to compile when wrangler.toml has a binding that the code does not know: it would be there without effect. */
type Unknown = Exclude<keyof Cloudflare.Env, keyof Bindings>;
export const everyBindingIsKnown: [Unknown] extends [never] ? true : Unknown = true;

const secret = z.string('is not set').min(24, 'is shorter than 24 characters');
/** One that is shown in a header, as it stands: with a line's end behind it nobody could ever show it. */
const bearer = secret.regex(
  /^[\x21-\x7e]{1,8192}$/,
  'has characters that no header can carry, such as white space at its end',
);
const byteCount = (otherwise: number) => z.coerce.number().int().positive().default(otherwise);

const json = z.string().transform((text, context): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    context.addIssue('is not JSON');
    return z.NEVER;
  }
});

const nodesSchema = json
  .pipe(
    z
      .array(
        z.strictObject({
          name: z.string().min(1).max(128),
          url: z.string(),
          class: z.string().min(1).max(64).default('default'),
        }),
      )
      .max(256)
      .refine((nodes) => new Set(nodes.map((node) => node.name)).size === nodes.length, 'names a node twice'),
  )
  .default([]);

/** Whoever has one of these has no right to the other. */
const apart = [
  ['NODE_TOKEN', 'OPERATOR_TOKEN'],
  ['NODE_TOKEN_BEFORE', 'OPERATOR_TOKEN'],
  ['SCRAPE_TOKEN', 'OPERATOR_TOKEN'],
  ['SCRAPE_TOKEN', 'NODE_TOKEN'],
  ['SCRAPE_TOKEN', 'NODE_TOKEN_BEFORE'],
  ['KEY_PEPPER', 'OPERATOR_TOKEN'],
  ['KEY_PEPPER', 'NODE_TOKEN'],
  ['KEY_PEPPER', 'NODE_TOKEN_BEFORE'],
  ['KEY_PEPPER', 'SCRAPE_TOKEN'],
] as const;

/** What says nothing without a provider. */
const ofProvider = ['OIDC_AUDIENCE', 'OIDC_ROLE_CLAIM', 'OIDC_ROLES'] as const;
const rolesByName = Object.fromEntries(operatorRoles.map((role) => [role, role]));

const settingsSchema = z
  .object({
    NODES: nodesSchema,
    PRIVATE_NODES: z.enum(['on', 'off']).default('off'),
    OPERATOR_TOKEN: bearer,
    NODE_TOKEN: bearer,
    NODE_TOKEN_BEFORE: bearer.optional(),
    SCRAPE_TOKEN: bearer.optional(),
    KEY_PEPPER: secret,
    MAX_BODY_BYTES: byteCount(8 * 2 ** 20),
    MAX_ARTIFACT_FILE_BYTES: byteCount(2 ** 31),
    SAYS_CONTINUE: z.enum(['on', 'off']).default('on'),
    PROBE_SHARE: z.coerce.number().min(0).max(1).default(0.01),
    OIDC_ISSUER: trustedUrl.optional(),
    OIDC_AUDIENCE: z.string().min(1).optional(),
    OIDC_ROLE_CLAIM: z.string().min(1).optional(),
    OIDC_ROLES: json.pipe(z.partialRecord(z.enum(operatorRoles), z.string().min(1))).optional(),
    LOG_DECISIONS: z.enum(['on', 'off']).default('off'),
    CORS_ORIGINS: z
      .string()
      .default('')
      .transform((text) =>
        text
          .split(',')
          .map((origin) => origin.trim())
          .filter((origin) => origin !== ''),
      )
      .refine(
        (origins) => origins.every((origin) => origin === '*' || URL.parse(origin)?.origin === origin),
        'has an entry that is not an origin such as https://app.example.org',
      ),
  })
  .refine((settings) => settings.OIDC_ISSUER === undefined || settings.OIDC_AUDIENCE !== undefined, {
    path: ['OIDC_AUDIENCE'],
    error: 'is not set, but OIDC_ISSUER is: without it a token made out for others would do',
  })
  .superRefine((settings, context) => {
    if (settings.OIDC_ISSUER !== undefined) return;
    for (const name of ofProvider)
      if (settings[name] !== undefined)
        context.addIssue({
          code: 'custom',
          path: [name],
          message: 'is set, but OIDC_ISSUER is not: it would be without effect',
        });
  })
  .superRefine((settings, context) => {
    for (const [name, other] of apart)
      if (settings[name] !== undefined && settings[name] === settings[other])
        context.addIssue({ code: 'custom', path: [name], message: `is the same as ${other}` });
  })
  .transform((settings, context) => {
    const refuse = (name: string, message: string) =>
      context.addIssue({
        code: 'custom',
        path: ['NODES'],
        message: `has ${JSON.stringify(name)}: ${message}`,
      });
    const byUrl = new Map<string, string>();
    const nodes = settings.NODES.map(({ name, url: given, class: nodeClass }): NodeAddress => {
      const url = listedOrigin(given, settings.PRIVATE_NODES === 'on', (message) => refuse(name, message));
      const other = byUrl.get(url);
      // As two its work would be counted by halves.
      if (other !== undefined && url !== '') refuse(name, `it is at the address of ${JSON.stringify(other)}`);
      byUrl.set(url, name);
      return { name, url, nodeClass, draining: false };
    });
    return { ...settings, NODES: nodes };
  });

/** Held to what registered nodes are held to; only that nodes on this machine need no leave. */
function listedOrigin(url: string, privateToo: boolean, refuse: (message: string) => void): string {
  try {
    return nodeOrigin(url, privateToo, true);
  } catch (error) {
    if (!(error instanceof SppError)) throw error;
    refuse([error.message, error.hint ?? ''].join(' ').trim().replace(/\.$/, ''));
    return '';
  }
}

export interface Settings {
  readonly nodes: readonly NodeAddress[];
  readonly privateNodes: boolean;
  readonly operatorToken: string;
  readonly nodeToken: string;
  readonly nodeTokenBefore: string | undefined;
  readonly scrapeToken: string | undefined;
  readonly keyPepper: string;
  readonly maxBodyBytes: number;
  readonly maxArtifactFileBytes: number;
  readonly saysContinue: boolean;
  readonly oidc: OidcSettings | undefined;
  readonly corsOrigins: readonly string[];
  readonly logDecisions: boolean;
  readonly probeShare: number;
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
    privateNodes: data.PRIVATE_NODES === 'on',
    operatorToken: data.OPERATOR_TOKEN,
    nodeToken: data.NODE_TOKEN,
    nodeTokenBefore: data.NODE_TOKEN_BEFORE,
    scrapeToken: data.SCRAPE_TOKEN,
    keyPepper: data.KEY_PEPPER,
    maxBodyBytes: data.MAX_BODY_BYTES,
    maxArtifactFileBytes: data.MAX_ARTIFACT_FILE_BYTES,
    saysContinue: data.SAYS_CONTINUE === 'on',
    oidc:
      data.OIDC_ISSUER === undefined || data.OIDC_AUDIENCE === undefined
        ? undefined
        : {
            issuer: data.OIDC_ISSUER,
            audience: data.OIDC_AUDIENCE,
            roleClaim: data.OIDC_ROLE_CLAIM ?? 'role',
            roles: data.OIDC_ROLES ?? rolesByName,
          },
    corsOrigins: data.CORS_ORIGINS,
    logDecisions: data.LOG_DECISIONS === 'on',
    probeShare: data.PROBE_SHARE,
  };
}
