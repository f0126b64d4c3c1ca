/** Client keys: made here, shown once, kept as a salted and peppered hash. */
import { and, desc, eq, isNull, sql } from 'drizzle-orm';
import { type ApiKeyRow, apiKeys } from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import type { KeyChanges, KeySettings } from '../../schema/key-settings.ts';
import { randomHex } from '../auth/digests.ts';
import { newToken } from '../auth/secret-tokens.ts';
import { auditStatement } from './audit.ts';
import type { Database } from './database.ts';
import { neverRotated, requireRotated, rotation } from './rotation.ts';

export interface NewKey extends KeySettings {
  readonly expiresAtMs: number | null;
  readonly actor: string;
  readonly nowMs: number;
}

/** What may be told of a key. */
export type KeyView = Omit<ApiKeyRow, 'salt' | 'hash' | 'previousSalt' | 'previousHash' | 'budgetRevision'>;

interface KeyChange {
  readonly id: string;
  readonly actor: string;
  readonly nowMs: number;
}

/** @returns the key itself, which nothing can show again, and its row */
export async function createKey(
  db: Database,
  pepper: string,
  { expiresAtMs, actor, nowMs, ...settings }: NewKey,
): Promise<{ key: string; row: ApiKeyRow }> {
  const { token, prefix, salt, hash } = await newToken('sp', pepper);
  const row: ApiKeyRow = {
    ...settings,
    id: `key_${randomHex(8)}`,
    prefix,
    salt,
    hash,
    createdAtMs: nowMs,
    expiresAtMs,
    revokedAtMs: null,
    ...neverRotated,
    budgetRevision: 0,
  };
  await db.batch([
    db.insert(apiKeys).values(row),
    auditStatement(db, {
      atMs: nowMs,
      actor,
      action: 'key.create',
      target: row.id,
      detail: { ...settings, prefix, expiresAtMs },
    }),
  ]);
  return { key: token, row };
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

/** @throws `not-found` */
export async function keyById(db: Database, id: string): Promise<ApiKeyRow> {
  const [row] = await db.select().from(apiKeys).where(eq(apiKeys.id, id));
  if (row === undefined)
    throw new SppError('not-found', `There is no key ${JSON.stringify(id.slice(0, 64))}.`, {
      hint: 'GET /v1/keys lists them.',
    });
  return row;
}

/**
 * Changes what an operator may set; the trail keeps what each field was.
 * @throws `not-found`
 */
export async function changeKey(
  db: Database,
  { id, actor, nowMs }: KeyChange,
  changes: KeyChanges,
): Promise<ApiKeyRow> {
  const row = await keyById(db, id);
  const fields = (Object.keys(changes) as (keyof KeyChanges)[]).filter(
    (field) => changes[field] !== undefined && JSON.stringify(changes[field]) !== JSON.stringify(row[field]),
  );
  if (fields.length === 0) return row;
  const set = {
    ...(Object.fromEntries(fields.map((field) => [field, changes[field]])) as KeyChanges),
    ...(fields.includes('budget') || fields.includes('rateLimit')
      ? { budgetRevision: sql`${apiKeys.budgetRevision} + 1` }
      : {}),
  };
  await db.batch([
    db.update(apiKeys).set(set).where(eq(apiKeys.id, id)),
    auditStatement(db, {
      atMs: nowMs,
      actor,
      action: 'key.change',
      target: id,
      detail: Object.fromEntries(fields.map((field) => [field, { from: row[field], to: changes[field] }])),
    }),
  ]);
  return keyById(db, id);
}

/**
 * Gives a key a new secret; the one before is good for the overlap, the one before that no more.
 * @throws `not-found`; `conflict` when the key was revoked
 */
export async function rotateKey(
  db: Database,
  pepper: string,
  { id, actor, nowMs, overlapS }: KeyChange & { readonly overlapS: number },
): Promise<{ key: string; row: ApiKeyRow }> {
  const row = await keyById(db, id);
  if (row.revokedAtMs !== null)
    throw new SppError('conflict', 'A revoked key gets no new secret.', { hint: 'Make a new key.' });
  const { token, set } = await rotation('sp', pepper, row, { nowMs, overlapS });
  await db.batch([
    db
      .update(apiKeys)
      .set(set)
      .where(and(eq(apiKeys.id, id), eq(apiKeys.hash, row.hash))),
    auditStatement(db, {
      atMs: nowMs,
      actor,
      action: 'key.rotate',
      target: id,
      detail: { overlapS, previousUntilMs: set.previousUntilMs },
    }),
  ]);
  return { key: token, row: requireRotated(await keyById(db, id), set.hash) };
}

/**
 * Revokes a key; doing so again changes nothing.
 * @throws `not-found`
 */
export async function revokeKey(db: Database, { id, actor, nowMs }: KeyChange): Promise<ApiKeyRow> {
  const row = await keyById(db, id);
  if (row.revokedAtMs !== null) return row;
  await db.batch([
    db
      .update(apiKeys)
      .set({ revokedAtMs: nowMs })
      .where(and(eq(apiKeys.id, row.id), isNull(apiKeys.revokedAtMs))),
    auditStatement(db, {
      atMs: nowMs,
      actor,
      action: 'key.revoke',
      target: row.id,
      detail: { name: row.name, prefix: row.prefix },
    }),
  ]);
  return { ...row, revokedAtMs: nowMs };
}

export function keyView({
  salt,
  hash,
  previousSalt,
  previousHash,
  budgetRevision,
  ...view
}: ApiKeyRow): KeyView {
  return view;
}
