/** Operators' tokens: made here, shown once, kept as a salted and peppered hash. */
import { type OperatorTokenRow, operatorTokens } from '../../schema/db/tables.ts';
import type { OperatorRole } from '../../schema/operator-role.ts';
import { randomHex } from '../auth/digests.ts';
import { newToken } from '../auth/secret-tokens.ts';
import { auditStatement } from './audit.ts';
import type { Database } from './database.ts';
import {
  type Issued,
  newestFirst,
  revokeToken,
  rotateToken,
  rowByPrefix,
  type TokenChange,
  type TokenPage,
} from './issued-tokens.ts';
import { neverRotated, withoutSecrets } from './rotation.ts';

export interface NewOperatorToken {
  readonly name: string;
  readonly role: OperatorRole;
  readonly expiresAtMs: number | null;
  readonly actor: string;
  readonly nowMs: number;
}

const issued: Issued<typeof operatorTokens> = {
  table: operatorTokens,
  kind: 'op',
  action: 'operator-token',
  noun: 'operator token',
  address: '/v1/operator-tokens',
};

/** What may be told of a token. */
export type OperatorTokenView = ReturnType<typeof operatorTokenView>;

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

export function findOperatorToken(db: Database, prefix: string): Promise<OperatorTokenRow | null> {
  return rowByPrefix(db, issued, prefix);
}

/** Newest first. @throws as `newestFirst` does */
export async function listOperatorTokens(db: Database, page: TokenPage): Promise<OperatorTokenView[]> {
  return (await newestFirst(db, issued, page)).map(operatorTokenView);
}

/** @throws as `rotateToken` does */
export function rotateOperatorToken(
  db: Database,
  pepper: string,
  change: TokenChange & { readonly overlapS: number },
): Promise<{ token: string; row: OperatorTokenRow }> {
  return rotateToken(db, pepper, issued, change);
}

/** Doing so again changes nothing. @throws `not-found` */
export function revokeOperatorToken(db: Database, change: TokenChange): Promise<OperatorTokenRow> {
  return revokeToken(db, issued, change, ({ name, role, prefix }) => ({ name, role, prefix }));
}

export function operatorTokenView(row: OperatorTokenRow) {
  return withoutSecrets(row);
}
