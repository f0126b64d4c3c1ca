/** Versions that operators have deleted: the database says so before any file goes, and their names stay taken. */
import { and, eq, exists, type SQL, sql } from 'drizzle-orm';
import { artifactVersions, deletedVersions, levels, models, policies } from '../../schema/db/tables.ts';
import type { ArtifactAddress } from './artifact-store.ts';
import { type AuditEntry, auditWhere } from './audit.ts';
import type { Database } from './database.ts';

export type VersionAddress = Omit<ArtifactAddress, 'file'>;

/** What keeps a version from being deleted: it is the active one, or the canary of a policy that governs requests names it. */
export type Holder =
  | { readonly kind: 'active' }
  | { readonly kind: 'policy'; readonly version: number; readonly side: 'baseline' | 'candidate' };

/** Whether there is, or was, such a version; one that was never complete is in the bucket alone. */
export async function isKnownVersion(db: Database, address: VersionAddress): Promise<boolean> {
  const [row] = await db.select({ known: isKnown(db, address) }).from(sql`(select 1)`);
  return row?.known === 1;
}

/** The same as a condition, in brackets. */
export function isKnown(db: Database, address: VersionAddress): SQL<number> {
  const there = db.select({ version: artifactVersions.version }).from(artifactVersions).where(rowOf(address));
  return sql<number>`(${exists(there)} or ${exists(tombstone(db, address))})`;
}

export interface Deletion extends VersionAddress {
  readonly actor: string;
  readonly nowMs: number;
}

/**
 * Takes a version out of the database and its name out of use, with the audit row or not at all; doing so again changes nothing.
 * @returns what holds it, where it stays; empty when it is gone
 */
export async function markDeleted(db: Database, deletion: Deletion): Promise<readonly Holder[]> {
  const { model, version, nowMs } = deletion;
  const gone = exists(tombstone(db, deletion));
  const free = sql`not ${gone} and not exists (${holdersOf(deletion)})`;
  const from = sql`from ${artifactVersions} where ${rowOf(deletion)}`;
  const { manifestSha256, bytes } = artifactVersions;
  const [, , , , , holders, marked] = await db.batch([
    auditOfDeletion(
      db,
      deletion,
      // Both null of an upload that was never complete.
      sql`json_object('manifestSha256', (select ${manifestSha256} ${from}), 'bytes', (select ${bytes} ${from}))`,
      free,
    ),
    db.insert(deletedVersions).select(sql`select ${model}, ${version}, ${nowMs} where ${free}`),
    db
      .update(models)
      .set({ versionsDeleted: sql`${models.versionsDeleted} + 1` })
      .where(and(eq(models.id, model), sql`exists (select 1 ${from})`, gone)),
    db.delete(levels).where(and(eq(levels.model, model), eq(levels.version, version), gone)),
    db.delete(artifactVersions).where(and(rowOf(deletion), gone)),
    db
      .select({ policy: sql<number | null>`policy`, side: sql<'baseline' | 'candidate'>`side` })
      .from(sql`(${holdersOf(deletion)})`),
    tombstone(db, deletion),
  ]);
  if (marked.length > 0) return [];
  return holders.map(({ policy, side }) =>
    policy === null ? { kind: 'active' } : { kind: 'policy', version: policy, side },
  );
}

/** The audit row, on a condition. @param detail of what went */
export function auditOfDeletion(
  db: Database,
  { model, version, actor, nowMs }: Deletion,
  detail: AuditEntry['detail'] | SQL,
  condition: SQL,
) {
  const target = `${model}/${version}`;
  return auditWhere(db, { atMs: nowMs, actor, action: 'artifact.delete', target, detail }, condition);
}

/** The row of a name whose version was deleted. */
export function tombstone(db: Database, { model, version }: VersionAddress) {
  return db
    .select()
    .from(deletedVersions)
    .where(and(eq(deletedVersions.model, model), eq(deletedVersions.version, version)));
}

/** A statement that has a batch fail as a whole, by a key that is taken, where the version was deleted; else it does nothing. */
export function unlessDeleted(db: Database, address: VersionAddress) {
  return db.insert(deletedVersions).select(tombstone(db, address));
}

export async function isDeleted(db: Database, address: VersionAddress): Promise<boolean> {
  return (await tombstone(db, address)).length > 0;
}

function rowOf({ model, version }: VersionAddress): SQL | undefined {
  return and(eq(artifactVersions.model, model), eq(artifactVersions.version, version));
}

/** A row for each thing that holds the version; `policy` is null for its being active. */
function holdersOf({ model, version }: VersionAddress): SQL {
  const inForce = sql`(select max(version) from ${policies})`;
  const baseline = sql`(select json_extract(document, '$.canary.baseline') from ${policies}
    where version = ${inForce} and json_extract(document, '$.canary.kind') = 'policy')`;
  const [kind, of, candidate, rest] = ['kind', 'model', 'candidate', 'baseline'].map(
    (member) => sql`json_extract(document, ${`$.canary.${member}`})`,
  );
  return sql`select null as policy, null as side from ${models} where id = ${model} and active_version = ${version}
    union all
    select version, case ${version} when ${candidate} then 'candidate' else 'baseline' end from ${policies}
    where version in (${inForce}, ${baseline}) and ${kind} = 'artifact' and ${of} = ${model} and ${version} in (${rest}, ${candidate})`;
}
