/** Models, their artifact versions and levels, as the hot path keeps them in memory. */
import { and, eq, sql } from 'drizzle-orm';
import {
  type ArtifactVersionRow,
  artifactVersions,
  type LevelRow,
  levels,
  models,
} from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import type { Manifest } from '../../schema/manifest.ts';
import { auditStatement } from './audit.ts';
import { type Database, isTaken } from './database.ts';
import { requireNameFree, unlessTaken } from './free-names.ts';

export interface CatalogVersion extends ArtifactVersionRow {
  /** By level, the sparsest first. */
  readonly levels: readonly LevelRow[];
}

export interface CatalogModel {
  readonly id: string;
  readonly activeVersion: string;
  readonly versionsDeleted: number;
  readonly versions: ReadonlyMap<string, CatalogVersion>;
}

export type Catalog = ReadonlyMap<string, CatalogModel>;

/**
 * @param known is returned as it is where nothing has changed since: whatever changes does so with its model's row or a newer version, so
 *   that one row a model tells, and not all versions that there have ever been
 */
export async function loadCatalog(db: Database, known?: Catalog): Promise<Catalog> {
  if (known !== undefined && (await isCurrent(db, known))) return known;
  const [modelRows, versionRows, levelRows] = await db.batch([
    db.select().from(models),
    db.select().from(artifactVersions).orderBy(artifactVersions.ordinal),
    db.select().from(levels).orderBy(levels.level),
  ]);
  const levelsOf = Map.groupBy(levelRows, ({ model, version }) => `${model}/${version}`);
  const versionsOf = Map.groupBy(versionRows, ({ model }) => model);
  return new Map(
    modelRows.map(({ id, activeVersion, versionsDeleted }) => {
      const versions = (versionsOf.get(id) ?? []).map((row): [string, CatalogVersion] => [
        row.version,
        { ...row, levels: levelsOf.get(`${id}/${row.version}`) ?? [] },
      ]);
      return [id, { id, activeVersion, versionsDeleted, versions: new Map(versions) }];
    }),
  );
}

async function isCurrent(db: Database, known: Catalog): Promise<boolean> {
  const newest = sql<number>`(select max(${artifactVersions.ordinal}) from ${artifactVersions} where ${artifactVersions.model} = ${models.id})`;
  const { id, activeVersion, versionsDeleted } = models;
  const rows = await db.select({ id, activeVersion, versionsDeleted, newest }).from(models);
  return (
    rows.length === known.size &&
    rows.every((row) => {
      const model = known.get(row.id);
      if (model?.activeVersion !== row.activeVersion || model.versionsDeleted !== row.versionsDeleted)
        return false;
      return row.newest === Math.max(...[...model.versions.values()].map(({ ordinal }) => ordinal));
    })
  );
}

/** Versions never change, so their names tell. */
export function sameCatalogs(a: Catalog, b: Catalog): boolean {
  return headings(a) === headings(b);
}

function headings(catalog: Catalog): string {
  return JSON.stringify(
    [...catalog.values()].map(({ id, activeVersion, versionsDeleted, versions }) => [
      id,
      activeVersion,
      versionsDeleted,
      ...versions.keys(),
    ]),
  );
}

export interface Activation {
  readonly manifest: Manifest;
  readonly manifestSha256: string;
  readonly actor: string;
  /** Before its files were found to be there. */
  readonly nowMs: number;
}

/**
 * Makes an uploaded version the active one: its rows, the switch and the audit row, all or none. Doing so again changes
 * nothing; a version that is known but not active becomes active again.
 * @returns whether anything changed
 * @throws `conflict` when the version is known with another manifest, was deleted, or its files were removed since `nowMs`
 */
export async function activateVersion(db: Database, activation: Activation): Promise<boolean> {
  const { manifest, manifestSha256, actor, nowMs } = activation;
  const { id: model, version } = manifest.model;
  const [[active], [known]] = await db.batch([
    db.select().from(models).where(eq(models.id, model)),
    db
      .select()
      .from(artifactVersions)
      .where(and(eq(artifactVersions.model, model), eq(artifactVersions.version, version))),
  ]);
  if (known !== undefined && known.manifestSha256 !== manifestSha256) throw otherManifest(model, version);
  if (known !== undefined && active?.activeVersion === version) return false;

  const activate = db
    .insert(models)
    .values({ id: model, activeVersion: version, updatedAtMs: nowMs })
    .onConflictDoUpdate({ target: models.id, set: { activeVersion: version, updatedAtMs: nowMs } });
  const audit = auditStatement(db, {
    atMs: nowMs,
    actor,
    action: 'artifact.activate',
    target: `${model}/${version}`,
    // Of several at once each goes from what the one before activated.
    detail: sql`json_object('from', (select ${models.activeVersion} from ${models} where ${models.id} = ${model}), 'manifestSha256', ${manifestSha256})`,
  });
  const added = known === undefined ? newRows(db, activation) : [];
  try {
    await db.batch([...unlessTaken(db, { model, version }, nowMs), audit, activate, ...added]);
  } catch (error) {
    if (isTaken(error)) await requireNameFree(db, { model, version }, nowMs);
    // Someone uploads the same version at this moment; which of the two came first is for the next look to tell.
    if (isTaken(error))
      throw new SppError('conflict', `${model}/${version} is being activated by another upload.`, {
        hint: 'Send the manifest again.',
        retryAfterS: 1,
        cause: error,
      });
    throw error;
  }
  return true;
}

export function otherManifest(model: string, version: string): SppError {
  return new SppError('conflict', `${model}/${version} exists already with another manifest.`, {
    hint: 'Versions do not change once they are uploaded; build under another version.',
  });
}

function newRows(db: Database, { manifest, manifestSha256, nowMs }: Activation) {
  const { id: model, version } = manifest.model;
  return [
    db.insert(artifactVersions).values({
      model,
      version,
      ordinal: sql`(select coalesce(max(${artifactVersions.ordinal}), 0) + 1 from ${artifactVersions} where ${artifactVersions.model} = ${model})`,
      manifestSha256,
      task: manifest.task,
      inputs: manifest.inputs,
      outputs: manifest.outputs,
      labels: manifest.labels ?? null,
      bytes: manifest.files.reduce((sum, file) => sum + file.bytes, 0),
      createdAtMs: nowMs,
    }),
    // A statement a level: D1 takes at most 100 bound values in one.
    ...manifest.levels.map((level) =>
      db.insert(levels).values({
        model,
        version,
        level: level.level,
        sparsity: level.sparsity,
        relativeFlops: level.relativeFlops,
        relativeParams: level.relativeParams,
        flops: level.flops,
        params: level.params,
        quality: level.quality,
        latency: level.latency,
      }),
    ),
  ];
}
