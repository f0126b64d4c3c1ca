/** Client keys: made here, shown once, kept as a salted and peppered hash. */
import { and, eq, getTableColumns, sql } from 'drizzle-orm';
import { type ApiKeyRow, apiKeys } from '../../schema/db/tables.ts';
import type { KeyChanges, KeySettings } from '../../schema/key-settings.ts';
import { randomHex } from '../auth/digests.ts';
import { newToken } from '../auth/secret-tokens.ts';
import { auditOfChange, auditStatement } from './audit.ts';
import type { Database } from './database.ts';
import { fieldChanges, untilChanged } from './field-changes.ts';
import {
  type Issued,
  newestFirst,
  revokeToken,
  rotateToken,
  rowById,
  rowByPrefix,
  type TokenChange,
  type TokenPage,
} from './issued-tokens.ts';
import { neverRotated, withoutSecrets } from './rotation.ts';

export interface NewKey extends KeySettings {
  readonly expiresAtMs: number | null;
  readonly actor: string;
  readonly nowMs: number;
}

/** What may be told of a key. */
export type KeyView = ReturnType<typeof keyView>;

const issued: Issued<typeof apiKeys> = {
  table: apiKeys,
  kind: 'sp',
  action: 'key',
  noun: 'key',
  address: '/v1/keys',
};

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

export function findKey(db: Database, prefix: string): Promise<ApiKeyRow | null> {
  return rowByPrefix(db, issued, prefix);
}

/** Newest first. @throws as `newestFirst` does */
export async function listKeys(db: Database, page: TokenPage): Promise<KeyView[]> {
  return (await newestFirst(db, issued, page)).map(keyView);
}

/** @throws `not-found` */
export function keyById(db: Database, id: string): Promise<ApiKeyRow> {
  return rowById(db, issued, id);
}

/**
 * Changes what an operator may set; the trail keeps what each field was. Of several at once each is made to what the one before left.
 * @throws `not-found`; `conflict` where others were always quicker
 */
export function changeKey(db: Database, change: TokenChange, changes: KeyChanges): Promise<ApiKeyRow> {
  return untilChanged('key', async () => tryChange(db, change, changes, await keyById(db, change.id)));
}

/** @returns undefined where a field that it changes is no longer as in `row`: nothing was written */
async function tryChange(
  db: Database,
  { id, actor, nowMs }: TokenChange,
  changes: KeyChanges,
  row: ApiKeyRow,
): Promise<ApiKeyRow | undefined> {
  const { set, unchanged, detail } = fieldChanges(getTableColumns(apiKeys), row, changes);
  if (Object.keys(set).length === 0) return row;
  const limits = set.budget !== undefined || set.rateLimit !== undefined;
  const revised = limits ? { budgetRevision: sql`${apiKeys.budgetRevision} + 1` } : {};
  const here = and(eq(apiKeys.id, id), ...unchanged);
  const entry = { atMs: nowMs, actor, action: 'key.change', target: id, detail };
  const [, [changed]] = await db.batch([
    auditOfChange(db, entry, apiKeys, here),
    db
      .update(apiKeys)
      .set({ ...set, ...revised })
      .where(here)
      .returning(),
  ]);
  return changed;
}

/** @throws as `rotateToken` does */
export function rotateKey(
  db: Database,
  pepper: string,
  change: TokenChange & { readonly overlapS: number },
): Promise<{ token: string; row: ApiKeyRow }> {
  return rotateToken(db, pepper, issued, change);
}

/** Doing so again changes nothing. @throws `not-found` */
export function revokeKey(db: Database, change: TokenChange): Promise<ApiKeyRow> {
  return revokeToken(db, issued, change, ({ name, prefix }) => ({ name, prefix }));
}

export function keyView(row: ApiKeyRow) {
  const { budgetRevision, ...view } = withoutSecrets(row);
  return view;
}
