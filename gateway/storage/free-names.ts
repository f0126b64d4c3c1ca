/** Whether files may be uploaded under a version's name: not where it was deleted, nor while an upload of that name is being removed. */
import { removedUploads } from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import type { Database } from './database.ts';
import { tombstone, unlessDeleted, type VersionAddress } from './deleted-versions.ts';
import { holdOf, REMOVING_MS } from './removed-uploads.ts';

/**
 * @param sinceMs when what asks began
 * @throws `conflict` for a name whose version was deleted, whatever its content was, or whose upload has been removed since
 */
export async function requireNameFree(db: Database, address: VersionAddress, sinceMs: number): Promise<void> {
  const [[gone], [held]] = await db.batch([tombstone(db, address), holdOf(db, address, sinceMs)]);
  const name = `${address.model}/${address.version}`;
  if (gone !== undefined)
    throw new SppError('conflict', `${name} was deleted, and its name stays taken.`, {
      hint: 'Files are cached by the names of their versions. Upload it under another one, which `model.version` in its manifest.json says.',
      details: { deletedAtMs: gone.deletedAtMs },
    });
  if (held !== undefined)
    throw new SppError('conflict', `What there was of ${name}, which was never complete, is being removed.`, {
      hint: 'Its name is free in a minute. Send all files again then, or upload it under another one.',
      retryAfterS: Math.max(1, Math.ceil((held.heldUntilMs - sinceMs) / 1000)),
    });
}

/** Statements that have a batch fail as a whole, by a key that is taken, where `requireNameFree` would throw; else they do nothing. */
export function unlessTaken(db: Database, address: VersionAddress, sinceMs: number) {
  return [
    unlessDeleted(db, address),
    db.insert(removedUploads).select(holdOf(db, address, sinceMs)),
  ] as const;
}

/** Whether files of a name can be removed without those of another upload among them, which cannot have begun yet. */
export async function mayRemove(db: Database, address: VersionAddress, nowMs: number): Promise<boolean> {
  const [gone, held] = await db.batch([tombstone(db, address), holdOf(db, address, nowMs + REMOVING_MS)]);
  return gone.length + held.length > 0;
}
