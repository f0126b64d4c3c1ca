/** The trail of operators' changes. Rows are written in the batch of the change they tell of. */
import { desc, is, SQL, sql } from 'drizzle-orm';
import type { SQLiteTable } from 'drizzle-orm/sqlite-core';
import { audit } from '../../schema/db/tables.ts';
import type { Database } from './database.ts';
import { type IdRange, within } from './id-range.ts';

export interface AuditEntry {
  readonly atMs: number;
  readonly actor: string;
  readonly action: string;
  readonly target: string;
  /** Never a secret. */
  readonly detail: Readonly<Record<string, unknown>>;
}

/** The statement that writes a row, for a batch. @param entry its detail may be what the database makes of its state at that point in the batch */
export function auditStatement(
  db: Database,
  entry: Omit<AuditEntry, 'detail'> & { readonly detail: AuditEntry['detail'] | SQL },
) {
  return db.insert(audit).values(entry);
}

/**
 * The same for a change that comes to nothing where another one was quicker: it stands before the change in the batch, and writes
 * only if there still is the row that the change is made to.
 */
export function auditOfChange(db: Database, entry: AuditEntry, table: SQLiteTable, row: SQL | undefined) {
  return auditWhere(db, entry, sql`exists (select 1 from ${table} where ${row})`);
}

/** The same for a change that is made on a condition. */
export function auditWhere(
  db: Database,
  { atMs, actor, action, target, detail }: Parameters<typeof auditStatement>[1],
  condition: SQL,
) {
  const told = is(detail, SQL) ? detail : JSON.stringify(detail);
  return db
    .insert(audit)
    .select(sql`select null, ${atMs}, ${actor}, ${action}, ${target}, ${told} where ${condition}`);
}

/** Newest first. @param range only rows with an id between these two */
export async function listAudit(db: Database, limit: number, range: IdRange = {}) {
  return db.select().from(audit).where(within(audit.id, range)).orderBy(desc(audit.id)).limit(limit);
}
