/** Operators' tokens: made here, shown once, kept as a salted and peppered hash. */
import { and, desc, eq, isNull } from 'drizzle-orm';
import { type OperatorTokenRow, operatorTokens } from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import type { OperatorRole } from '../../schema/operator-role.ts';
import { randomHex } from '../auth/digests.ts';
import { newToken } from '../auth/secret-tokens.ts';
import { auditStatement } from './audit.ts';
import type { Database } from './database.ts';
import { neverRotated, requireRotated, rotation } from './rotation.ts';

export interface NewOperatorToken {
  readonly name: string;
  readonly role: OperatorRole;
  readonly expiresAtMs: number | null;
  readonly actor: string;
  readonly nowMs: number;
}

interface TokenChange {
  readonly id: string;
  readonly actor: string;
  readonly nowMs: number;
}

/** What may be told of a token. */
export type OperatorTokenView = Omit<OperatorTokenRow, 'salt' | 'hash' | 'previousSalt' | 'previousHash'>;

/** @returns the token itself, which nothing can show again, and its row */
export async function createOperatorToken(
  db: Database,
  pepper: string,
  { name, role, expiresAtMs, actor, nowMs }: NewOperatorToken,
): Promise<{ token: string; row: OperatorTokenRow }> {
  const { token, prefix, salt, hash } = await newToken('op', pepper);
  const row: OperatorTokenRow = {
    id: `op_${randomHex(8)}`,
    name,
    role,
    prefix,
    salt,
    hash,
    createdAtMs: nowMs,
    expiresAtMs,
    revokedAtMs: null,
    ...neverRotated,
  };
  await db.batch([
    db.insert(operatorTokens).values(row),
    auditStatement(db, {
      atMs: nowMs,
      actor,
      action: 'operator-token.create',
      target: row.id,
      detail: { name, role, prefix, expiresAtMs },
    }),
  ]);
  return { token, row };
}

export async function findOperatorToken(db: Database, prefix: string): Promise<OperatorTokenRow | null> {
  const [row] = await db.select().from(operatorTokens).where(eq(operatorTokens.prefix, prefix));
  return row ?? null;
}

/** Newest first. */
export async function listOperatorTokens(db: Database): Promise<OperatorTokenView[]> {
  const rows = await db
    .select()
    .from(operatorTokens)
    .orderBy(desc(operatorTokens.createdAtMs), desc(operatorTokens.id));
  return rows.map(operatorTokenView);
}

/**
 * Gives a token a new secret; the one before is good for the overlap, the one before that no more.
 * @throws `not-found`; `conflict` when the token was revoked
 */
export async function rotateOperatorToken(
  db: Database,
  pepper: string,
  { id, actor, nowMs, overlapS }: TokenChange & { readonly overlapS: number },
): Promise<{ token: string; row: OperatorTokenRow }> {
  const row = await operatorTokenById(db, id);
  if (row.revokedAtMs !== null)
    throw new SppError('conflict', 'A revoked token gets no new secret.', { hint: 'Make a new token.' });
  const { token, set } = await rotation('op', pepper, row, { nowMs, overlapS });
  await db.batch([
    db
      .update(operatorTokens)
      .set(set)
      .where(and(eq(operatorTokens.id, id), eq(operatorTokens.hash, row.hash))),
    auditStatement(db, {
      atMs: nowMs,
      actor,
      action: 'operator-token.rotate',
      target: id,
      detail: { overlapS, previousUntilMs: set.previousUntilMs },
    }),
  ]);
  return { token, row: requireRotated(await operatorTokenById(db, id), set.hash) };
}

/** @throws `not-found` */
async function operatorTokenById(db: Database, id: string): Promise<OperatorTokenRow> {
  const [row] = await db.select().from(operatorTokens).where(eq(operatorTokens.id, id));
  if (row === undefined)
    throw new SppError('not-found', `There is no operator token ${JSON.stringify(id.slice(0, 64))}.`, {
      hint: 'GET /v1/operator-tokens lists them.',
    });
  return row;
}

/**
 * Revokes a token; doing so again changes nothing.
 * @throws `not-found`
 */
export async function revokeOperatorToken(
  db: Database,
  { id, actor, nowMs }: TokenChange,
): Promise<OperatorTokenRow> {
  const row = await operatorTokenById(db, id);
  if (row.revokedAtMs !== null) return row;
  await db.batch([
    db
      .update(operatorTokens)
      .set({ revokedAtMs: nowMs })
      .where(and(eq(operatorTokens.id, row.id), isNull(operatorTokens.revokedAtMs))),
    auditStatement(db, {
      atMs: nowMs,
      actor,
      action: 'operator-token.revoke',
      target: row.id,
      detail: { name: row.name, role: row.role, prefix: row.prefix },
    }),
  ]);
  return { ...row, revokedAtMs: nowMs };
}

export function operatorTokenView({
  salt,
  hash,
  previousSalt,
  previousHash,
  ...view
}: OperatorTokenRow): OperatorTokenView {
  return view;
}
