/** What clients' keys and operators' tokens have in common: found by prefix, rotated with an overlap, revoked for good. */
import { and, desc, eq, isNull, lt, or } from 'drizzle-orm';
import type { apiKeys, operatorTokens } from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import type { TokenKind } from '../auth/secret-tokens.ts';
import { auditOfChange } from './audit.ts';
import type { Database } from './database.ts';
import { requireRotated, rotation, rotationDetail } from './rotation.ts';

type TokenTable = typeof apiKeys | typeof operatorTokens;
type Row<T extends TokenTable> = T['$inferSelect'];

/** One of the two: where its rows are, and what it is called. */
export interface Issued<T extends TokenTable> {
  readonly table: T;
  readonly kind: TokenKind;
  /** Before the dot of an audit row's action. */
  readonly action: string;
  readonly noun: string;
  readonly address: string;
}

export interface TokenChange {
  readonly id: string;
  readonly actor: string;
  readonly nowMs: number;
}

export async function rowByPrefix<T extends TokenTable>(
  db: Database,
  { table }: Issued<T>,
  prefix: string,
): Promise<Row<T> | null> {
  const [row] = (await db.select().from(table).where(eq(table.prefix, prefix))) as Row<T>[];
  return row ?? null;
}

/** @throws `not-found` */
export async function rowById<T extends TokenTable>(
  db: Database,
  { table, noun, address }: Issued<T>,
  id: string,
): Promise<Row<T>> {
  const [row] = (await db.select().from(table).where(eq(table.id, id))) as Row<T>[];
  if (row === undefined)
    throw new SppError('not-found', `There is no ${noun} ${JSON.stringify(id.slice(0, 64))}.`, {
      hint: `GET ${address} lists them.`,
    });
  return row;
}

/** Some of those that are older than the one called `before`, or of all. */
export interface TokenPage {
  readonly limit: number;
  readonly before?: string | undefined;
}

/** @throws `not-found` where there is no `before` */
export async function newestFirst<T extends TokenTable>(
  db: Database,
  issued: Issued<T>,
  { limit, before }: TokenPage,
): Promise<Row<T>[]> {
  const { table } = issued;
  const from = before === undefined ? undefined : await rowById(db, issued, before);
  const older =
    from &&
    or(
      lt(table.createdAtMs, from.createdAtMs),
      and(eq(table.createdAtMs, from.createdAtMs), lt(table.id, from.id)),
    );
  const rows = db
    .select()
    .from(table)
    .where(older)
    .orderBy(desc(table.createdAtMs), desc(table.id))
    .limit(limit);
  return (await rows) as Row<T>[];
}

/**
 * Gives a new secret, beside which those before are good for as long as `rotation` says.
 * @returns the token, which nothing can show again, and its row
 * @throws `not-found`; `conflict` for one that was revoked or has expired, and where too many secrets are good still
 */
export async function rotateToken<T extends TokenTable>(
  db: Database,
  pepper: string,
  issued: Issued<T>,
  { id, actor, nowMs, overlapS }: TokenChange & { readonly overlapS: number },
): Promise<{ token: string; row: Row<T> }> {
  const { table, kind, action, noun } = issued;
  const read = async () => {
    const found = await rowById(db, issued, id);
    const over = found.expiresAtMs !== null && nowMs >= found.expiresAtMs ? 'An expired' : undefined;
    const ended = found.revokedAtMs === null ? over : 'A revoked';
    if (ended === undefined) return found;
    throw new SppError('conflict', `${ended} ${noun} gets no new secret.`, { hint: 'Make a new one.' });
  };
  const row = await read();
  const { token, set } = await rotation(kind, pepper, row, { nowMs, overlapS });
  const unchanged = and(eq(table.id, id), eq(table.hash, row.hash), isNull(table.revokedAtMs));
  const entry = {
    atMs: nowMs,
    actor,
    action: `${action}.rotate`,
    target: id,
    detail: rotationDetail(overlapS, set),
  };
  await db.batch([
    auditOfChange(db, entry, table, unchanged),
    db.update<TokenTable>(table).set(set).where(unchanged),
  ]);
  return { token, row: requireRotated(await read(), set.hash) };
}

/**
 * Revokes; doing so again changes nothing.
 * @param detail of the row, for the trail
 * @throws `not-found`
 */
export async function revokeToken<T extends TokenTable>(
  db: Database,
  issued: Issued<T>,
  { id, actor, nowMs }: TokenChange,
  detail: (row: Row<T>) => Readonly<Record<string, unknown>>,
): Promise<Row<T>> {
  const { table, action } = issued;
  const row = await rowById(db, issued, id);
  if (row.revokedAtMs !== null) return row;
  const unchanged = and(eq(table.id, id), isNull(table.revokedAtMs));
  const entry = { atMs: nowMs, actor, action: `${action}.revoke`, target: id, detail: detail(row) };
  await db.batch([
    auditOfChange(db, entry, table, unchanged),
    db.update<TokenTable>(table).set({ revokedAtMs: nowMs }).where(unchanged),
  ]);
  return rowById(db, issued, id);
}
