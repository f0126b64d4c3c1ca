/** Who asks: the deployment's own secrets, operators' tokens, an identity provider's, clients' keys. Fails closed. */
import type { ApiKeyRow, OperatorTokenRow } from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import type { Settings } from '../settings.ts';
import type { Background } from '../state/cell.ts';
import type { CellMap } from '../state/cell-map.ts';
import type { NodeCredentials } from '../storage/nodes.ts';
import { EARLIER_GOOD, type SecretColumns, secretsBefore } from '../storage/rotation.ts';
import { sameDigest, sha256 } from './digests.ts';
import { REFUSED_WITHIN_MS } from './held-tokens.ts';
import { type Access, type Identity, verdict } from './identity.ts';
import type { OidcVerifier } from './oidc.ts';
import { provesToken, tokenPrefix } from './secret-tokens.ts';

export interface AccessContext {
  readonly settings: Pick<
    Settings,
    'operatorToken' | 'nodeToken' | 'nodeTokenBefore' | 'scrapeToken' | 'keyPepper'
  >;
  readonly keys: CellMap<ApiKeyRow | null>;
  readonly operatorTokens: CellMap<OperatorTokenRow | null>;
  readonly nodeTokens: CellMap<NodeCredentials | null>;
  /** Undefined where no identity provider is configured. */
  readonly oidc: OidcVerifier | undefined;
  readonly proven: ProvenKeys;
  readonly background: Background;
  readonly nowMs: number;
}

/**
 * By `Authorization` header, the copy of a key's row that it has proved, so that the next request with it costs no HMAC. Only
 * what was proved is in it, and it is found by a keyed hash of all of the header, so that a guess learns nothing by time.
 */
export type ProvenKeys = Map<string, Proved<ApiKeyRow>>;

interface Proved<T> {
  readonly row: T;
  /** Of the secret that was shown: to the end of its overlap, where it is one before the last. */
  readonly untilMs: number;
}

const PROVEN_HELD = 10_000;
/** White space may make a header as long as it likes: such ones are not kept, and prove their key each time. */
const PROVEN_CHARACTERS = 80;

const BEARER = /^Bearer +([\x21-\x7e]{1,8192})$/i;

const wanted = {
  open: 'nothing',
  client: 'an API key',
  viewer: "an operator's token",
  operator: 'the token of an operator',
  admin: 'the token of an admin',
  node: "a registered node's token",
  artifacts: "an operator's or a node's token",
  metrics: "an operator's token, or the one for metrics",
} as const satisfies Record<Access, string>;

/**
 * At once for whoever has proved a key that is in hand: the hot path waits for nothing and costs no hash.
 * @throws `unauthorized`, the same for every reason, so that nobody learns which part was right; `forbidden` for an
 * operator whose role does not reach
 */
export function requireAccess(
  access: Access,
  authorization: string | null,
  context: AccessContext,
): Identity | Promise<Identity> {
  if (access === 'open') return { kind: 'anonymous' };
  if (authorization === null) throw unauthorized(access, 'Credentials are missing.');
  const proved = access === 'client' ? context.proven.get(authorization) : undefined;
  const held = proved === undefined ? undefined : context.keys.get(proved.row.prefix, context.background);
  if (proved !== undefined && held === proved.row && isProof(proved, context.nowMs))
    return { kind: 'client', key: proved.row };
  const token = BEARER.exec(authorization)?.[1];
  if (token === undefined) throw unauthorized(access, 'Credentials are missing.');
  const identity = identify(token, { ...context, authorization, held });
  return identity.then((found) => admit(access, found));
}

function admit(access: Access, identity: Identity | undefined): Identity {
  const found = identity === undefined ? 'wrong' : verdict(access, identity);
  if (identity !== undefined && found === 'allowed') return identity;
  if (found === 'weak')
    throw new SppError('forbidden', 'Your role does not allow this.', {
      hint: `It takes ${wanted[access]}.`,
    });
  throw unauthorized(access, 'These credentials are not valid.');
}

function unauthorized(access: Access, message: string): SppError {
  return new SppError('unauthorized', message, {
    hint: `Send "Authorization: Bearer" with ${wanted[access]}.`,
  });
}

/** The form of a token says what it can be, so that each kind costs only its own look-up. */
function identify(token: string, context: ClientContext): Promise<Identity | undefined> {
  const key = tokenPrefix('sp', token);
  if (key !== undefined) return client(token, key, context);
  const operator = tokenPrefix('op', token);
  if (operator !== undefined) return operatorByToken(token, operator, context);
  const node = tokenPrefix('nd', token);
  if (node !== undefined) return nodeByToken(token, node, context);
  return byDeploymentSecret(token, context);
}

async function byDeploymentSecret(
  token: string,
  { settings, oidc, nowMs }: AccessContext,
): Promise<Identity | undefined> {
  if (await sameSecret(token, settings.operatorToken))
    return { kind: 'operator', name: 'operator', role: 'admin' };
  if (await sameSecret(token, settings.nodeToken)) return { kind: 'node', registered: null };
  const before = settings.nodeTokenBefore;
  if (before !== undefined && (await sameSecret(token, before))) return { kind: 'node', registered: null };
  const { scrapeToken } = settings;
  if (scrapeToken !== undefined && (await sameSecret(token, scrapeToken))) return { kind: 'scraper' };
  return oidc?.(token, nowMs);
}

interface ClientContext extends AccessContext {
  readonly authorization: string;
  /** The key's row, where it has been asked for already. */
  readonly held: ApiKeyRow | null | Promise<ApiKeyRow | null> | undefined;
}

async function client(
  token: string,
  prefix: string,
  { keys, background, settings, proven, authorization, held, nowMs }: ClientContext,
): Promise<Identity | undefined> {
  const found = await provedBy(token, prefix, held ?? keys.get(prefix, background), keys, settings, nowMs);
  if (found === undefined || !isGood(found.row, nowMs)) return undefined;
  if (authorization.length <= PROVEN_CHARACTERS) {
    if (proven.size >= PROVEN_HELD) proven.clear();
    proven.set(authorization, found);
  }
  return { kind: 'client', key: found.row };
}

/**
 * The row that a token is proved by. Where the one in hand does not, a newer one may.
 * @param held the row in hand, or the promise of one
 */
async function provedBy<T extends SecretColumns>(
  token: string,
  prefix: string,
  held: T | null | Promise<T | null>,
  rows: CellMap<T | null>,
  { keyPepper }: Pick<Settings, 'keyPepper'>,
  nowMs: number,
): Promise<Proved<T> | undefined> {
  const row = await held;
  const untilMs = await proofOf(token, row, keyPepper, nowMs);
  if (row !== null && untilMs !== undefined) return { row, untilMs };
  const newer = await rows.within(prefix, REFUSED_WITHIN_MS);
  if (newer === null || newer === row) return undefined;
  const late = await proofOf(token, newer, keyPepper, nowMs);
  return late === undefined ? undefined : { row: newer, untilMs: late };
}

/**
 * Until when the secret is good that a token holds, of a row's; undefined where it holds none. As many are always tried, so that
 * nothing tells which of them was held against, and whether there are any.
 */
async function proofOf(
  token: string,
  row: SecretColumns | null,
  pepper: string,
  nowMs: number,
): Promise<number | undefined> {
  const before = row === null ? [] : secretsBefore(row, nowMs);
  const [current, ...others] = await Promise.all([
    provesToken(token, row ?? undefined, pepper),
    ...Array.from({ length: EARLIER_GOOD }, (_, place) => provesToken(token, before[place], pepper)),
  ]);
  return current ? Number.POSITIVE_INFINITY : before[others.indexOf(true)]?.untilMs;
}

async function operatorByToken(
  token: string,
  prefix: string,
  { operatorTokens, background, settings, nowMs }: AccessContext,
): Promise<Identity | undefined> {
  const held = operatorTokens.get(prefix, background);
  const found = await provedBy(token, prefix, held, operatorTokens, settings, nowMs);
  if (found === undefined || !isGood(found.row, nowMs)) return undefined;
  return { kind: 'operator', name: found.row.name, role: found.row.role };
}

async function nodeByToken(
  token: string,
  prefix: string,
  { nodeTokens, background, settings, nowMs }: AccessContext,
): Promise<Identity | undefined> {
  const held = nodeTokens.get(prefix, background);
  const found = await provedBy(token, prefix, held, nodeTokens, settings, nowMs);
  return found === undefined ? undefined : { kind: 'node', registered: found.row };
}

function isProof({ row, untilMs }: Proved<ApiKeyRow>, nowMs: number): boolean {
  return nowMs < untilMs && isGood(row, nowMs);
}

function isGood(row: Pick<ApiKeyRow, 'expiresAtMs' | 'revokedAtMs'>, nowMs: number): boolean {
  return row.revokedAtMs === null && (row.expiresAtMs === null || nowMs < row.expiresAtMs);
}

/** Digests are compared, so that a secret's length does not show either. */
async function sameSecret(given: string, secret: string): Promise<boolean> {
  return sameDigest(await sha256(given), await sha256(secret));
}
