/**
 * Uploads of which no manifest was ever there, removed by operators. Nobody has read such a version, so its name is free again, but not at
 * once: the bucket deletes whatever has a key, so the name is held until whoever removes its files has stopped for certain. What began
 * before that is not completed after it: it may have seen the files that are gone.
 */
import { and, eq, exists, gt, lt, sql } from 'drizzle-orm';
import { removedUploads } from '../../schema/db/tables.ts';
import type { Database } from './database.ts';
import { auditOfDeletion, type Deletion, isKnown, type VersionAddress } from './deleted-versions.ts';

const HELD_MS = 60_000;
/** How long files of a held name may be removed: the rest is for a call of the bucket that is slow, and clocks that differ. */
export const REMOVING_MS = 30_000;
/** Nothing that began before lasts as long. */
const KEPT_MS = 24 * 3_600_000;

/**
 * Holds the name of an upload whose files are to be removed, with the audit row; again while it is held, longer, without.
 * @returns whether files may be removed, for `REMOVING_MS` from `nowMs` on; not those of a version that is complete, or deleted, by now
 */
export async function holdRemoved(db: Database, removal: Deletion): Promise<boolean> {
  const { model, version, nowMs } = removal;
  const { heldUntilMs } = removedUploads;
  const unknown = sql`not ${isKnown(db, removal)}`;
  const held = exists(holdOf(db, removal, nowMs));
  const [, , marked] = await db.batch([
    db.delete(removedUploads).where(lt(heldUntilMs, nowMs - KEPT_MS)),
    auditOfDeletion(db, removal, { manifestSha256: null, bytes: null }, sql`${unknown} and not ${held}`),
    db
      .insert(removedUploads)
      .select(sql`select ${model}, ${version}, ${nowMs + HELD_MS} where ${unknown}`)
      .onConflictDoUpdate({
        target: [removedUploads.model, removedUploads.version],
        set: { heldUntilMs: sql`max(${heldUntilMs}, excluded.held_until_ms)` },
      })
      .returning(),
  ]);
  return marked.length > 0;
}

/** The row of a name that was held at that time or has been since. */
export function holdOf(db: Database, { model, version }: VersionAddress, sinceMs: number) {
  return db
    .select()
    .from(removedUploads)
    .where(
      and(
        eq(removedUploads.model, model),
        eq(removedUploads.version, version),
        gt(removedUploads.heldUntilMs, sinceMs),
      ),
    );
}
