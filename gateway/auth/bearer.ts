/** Who asks: operators and nodes by the deployment's secrets, clients by keys. Everything fails closed. */
import type { ApiKeyRow } from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import type { Settings } from '../settings.ts';
import type { Background } from '../state/cell.ts';
import type { CellMap } from '../state/cell-map.ts';
import { keyHash, keyPrefix } from '../storage/keys.ts';
import { sameDigest, sha256 } from './digests.ts';

/** What a route asks of its caller. `artifacts` is for operators, who write them, and nodes, which read them. */
export type Access = 'open' | 'client' | 'operator' | 'artifacts';

export interface AccessContext {
  readonly settings: Settings;
  readonly keys: CellMap<ApiKeyRow | null>;
  readonly background: Background;
  readonly nowMs: number;
}

type Check = (token: string, context: AccessContext) => Promise<boolean>;

const isOperator: Check = (token, { settings }) => sameSecret(token, settings.operatorToken);
const isNode: Check = (token, { settings }) => sameSecret(token, settings.nodeToken);

const checks = {
  open: async () => true,
  client: isClient,
  operator: isOperator,
  artifacts: async (token, context) => (await isOperator(token, context)) || (await isNode(token, context)),
} as const satisfies Record<Access, Check>;

const wanted = {
  open: '',
  client: 'an API key',
  operator: "the operator's token",
  artifacts: "the operator's or a node's token",
} as const satisfies Record<Access, string>;

/** @throws `unauthorized`, the same for every reason, so that nobody learns which part was right */
export async function requireAccess(
  access: Access,
  authorization: string | null,
  context: AccessContext,
): Promise<void> {
  if (access === 'open') return;
  const token = /^Bearer +(?<token>[\x21-\x7e]{1,512})$/i.exec(authorization ?? '')?.groups?.token;
  if (token !== undefined && (await checks[access](token, context))) return;
  throw new SppError(
    'unauthorized',
    token === undefined ? 'Credentials are missing.' : 'These credentials are not valid.',
    { hint: `Send "Authorization: Bearer" with ${wanted[access]}.` },
  );
}

async function isClient(token: string, context: AccessContext): Promise<boolean> {
  const prefix = keyPrefix(token);
  if (prefix === undefined) return false;
  const row = await context.keys.get(prefix, context.background);
  if (row === null) return false;
  const given = await keyHash(token, row.salt, context.settings.keyPepper);
  const encoder = new TextEncoder();
  const matches = sameDigest(encoder.encode(given), encoder.encode(row.hash));
  const expired = row.expiresAtMs !== null && context.nowMs >= row.expiresAtMs;
  return matches && row.revokedAtMs === null && !expired;
}

/** Digests are compared, so that a secret's length does not show either. */
async function sameSecret(given: string, secret: string): Promise<boolean> {
  return sameDigest(await sha256(given), await sha256(secret));
}
