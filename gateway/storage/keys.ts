/** Client keys: made here, shown once, kept as a salted and peppered hash. */
import { and, desc, eq, isNull } from 'drizzle-orm';
import { type ApiKeyRow, apiKeys } from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import { hex, hmacSha256, randomHex, randomToken } from '../auth/digests.ts';
import { auditStatement } from './audit.ts';
import type { Database } from './database.ts';

export interface NewKey {
  readonly name: string;
  readonly expiresAtMs: number | null;
  readonly actor: string;
  readonly nowMs: number;
}

/** What may be told of a key. */
export type KeyView = Omit<ApiKeyRow, 'salt' | 'hash'>;

/** `sp_<prefix>_<secret>`: the prefix finds the row, the secret proves the key. */
const KEY = /^sp_(?<prefix>[0-9a-f]{12})_[A-Za-z0-9_-]{43}$/;

/** @returns undefined for what cannot be a key of ours, so that it costs no look-up */
export function keyPrefix(key: string): string | undefined {
  return KEY.exec(key)?.groups?.prefix;
}

export async function keyHash(key: string, salt: string, pepper: string): Promise<string> {
  return hex(await hmacSha256(pepper, `${salt}:${key}`));
}

/** @returns the key itself, which nothing can show again, and its row */
export async function createKey(
  db: Database,
  pepper: string,
  { name, expiresAtMs, actor, nowMs }: NewKey,
): Promise<{ key: string; row: ApiKeyRow }> {
  const prefix = randomHex(6);
  const key = `sp_${prefix}_${randomToken(32)}`;
  const salt = randomHex(16);
  const row: ApiKeyRow = {
    id: `key_${randomHex(8)}`,
    name,
    prefix,
    salt,
    hash: await keyHash(key, salt, pepper),
    createdAtMs: nowMs,
    expiresAtMs,
    revokedAtMs: null,
  };
  await db.batch([
    db.insert(apiKeys).values(row),
    auditStatement(db, {
      atMs: nowMs,
      actor,
      action: 'key.create',
      target: row.id,
      detail: { name, prefix, expiresAtMs },
    }),
  ]);
  return { key, row };
}

export async function findKey(db: Database, prefix: string): Promise<ApiKeyRow | null> {
  const [row] = await db.select().from(apiKeys).where(eq(apiKeys.prefix, prefix));
  return row ?? null;
}

/** Newest first. */
export async function listKeys(db: Database): Promise<KeyView[]> {
  const rows = await db.select().from(apiKeys).orderBy(desc(apiKeys.createdAtMs), desc(apiKeys.id));
  return rows.map(keyView);
}

/**
 * Revokes a key; doing so again changes nothing.
 * @throws `not-found`
 */
export async function revokeKey(
  db: Database,
  change: { id: string; actor: string; nowMs: number },
): Promise<ApiKeyRow> {
  const [row] = await db.select().from(apiKeys).where(eq(apiKeys.id, change.id));
  if (row === undefined)
    throw new SppError('not-found', `There is no key ${JSON.stringify(change.id.slice(0, 64))}.`, {
      hint: 'GET /v1/keys lists them.',
    });
  if (row.revokedAtMs !== null) return row;
  await db.batch([
    db
      .update(apiKeys)
      .set({ revokedAtMs: change.nowMs })
      .where(and(eq(apiKeys.id, row.id), isNull(apiKeys.revokedAtMs))),
    auditStatement(db, {
      atMs: change.nowMs,
      actor: change.actor,
      action: 'key.revoke',
      target: row.id,
      detail: { name: row.name, prefix: row.prefix },
    }),
  ]);
  return { ...row, revokedAtMs: change.nowMs };
}

export function keyView({ id, name, prefix, createdAtMs, expiresAtMs, revokedAtMs }: ApiKeyRow): KeyView {
  return { id, name, prefix, createdAtMs, expiresAtMs, revokedAtMs };
}
