/** The trail of operators' changes. Rows are written in the batch of the change they tell of. */
import { desc, lt } from 'drizzle-orm';
import { audit } from '../../schema/db/tables.ts';
import type { Database } from './database.ts';

export interface AuditEntry {
  readonly atMs: number;
  readonly actor: string;
  readonly action: string;
  readonly target: string;
  /** Never a secret. */
  readonly detail: Readonly<Record<string, unknown>>;
}

/** The statement that writes a row, for a batch. */
export function auditStatement(db: Database, entry: AuditEntry) {
  return db.insert(audit).values(entry);
}

/** Newest first. @param before only rows with a lower id */
export async function listAudit(db: Database, limit: number, before: number | undefined) {
  return db
    .select()
    .from(audit)
    .where(before === undefined ? undefined : lt(audit.id, before))
    .orderBy(desc(audit.id))
    .limit(limit);
}
