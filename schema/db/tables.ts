/** The gateway's D1 tables. Migrations are generated from here: `npm run db:generate`. */
import { index, integer, primaryKey, real, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core';
import type { KeyBudget, RateLimit } from '../key-settings.ts';
import type { LatencyProfile, Port, Quality } from '../manifest.ts';
import type { NodeReport } from '../node-report.ts';
import type { OperatorRole } from '../operator-role.ts';
import type { Policy } from '../policy.ts';

/** One row a model; `activeVersion` is what nodes are told to serve. */
export const models = sqliteTable('models', {
  id: text().primaryKey(),
  activeVersion: text().notNull(),
  updatedAtMs: integer().notNull(),
  /** Grows with each version that is deleted: copies in memory tell by it that one has gone. */
  versionsDeleted: integer().notNull().default(0),
});

/** An uploaded artifact. A row exists only once every file of its manifest has been found whole in R2. */
export const artifactVersions = sqliteTable(
  'artifact_versions',
  {
    model: text()
      .notNull()
      .references(() => models.id),
    version: text().notNull(),
    /** Grows with every upload of a model: the newest version has the highest. */
    ordinal: integer().notNull(),
    manifestSha256: text().notNull(),
    task: text().notNull(),
    inputs: text({ mode: 'json' }).$type<readonly Port[]>().notNull(),
    outputs: text({ mode: 'json' }).$type<readonly Port[]>().notNull(),
    labels: text({ mode: 'json' }).$type<readonly string[] | null>(),
    bytes: integer().notNull(),
    createdAtMs: integer().notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.model, table.version] }),
    uniqueIndex('artifact_versions_ordinal').on(table.model, table.ordinal),
  ],
);

/**
 * Names of versions that have been deleted, which stay taken: files are cached by them. A table of its own, as a Worker that does not know
 * it must not take deleted versions for ones that are there.
 */
export const deletedVersions = sqliteTable(
  'deleted_versions',
  { model: text().notNull(), version: text().notNull(), deletedAtMs: integer().notNull() },
  (table) => [primaryKey({ columns: [table.model, table.version] })],
);

/**
 * Uploads without a manifest whose files are removed: until then their names are held, so that no file of a next upload is removed with
 * them. Rows are kept for a while behind that, for requests that began before.
 */
export const removedUploads = sqliteTable(
  'removed_uploads',
  { model: text().notNull(), version: text().notNull(), heldUntilMs: integer().notNull() },
  (table) => [primaryKey({ columns: [table.model, table.version] })],
);

/** What the selector and the model's metadata need to know of a level. */
export const levels = sqliteTable(
  'levels',
  {
    model: text().notNull(),
    version: text().notNull(),
    level: integer().notNull(),
    sparsity: real().notNull(),
    relativeFlops: real().notNull(),
    relativeParams: real().notNull(),
    flops: real().notNull(),
    params: integer().notNull(),
    quality: text({ mode: 'json' }).$type<Quality>().notNull(),
    /** As the trainer measured it; nodes report their own. */
    latency: text({ mode: 'json' }).$type<readonly LatencyProfile[]>().notNull(),
  },
  (table) => [primaryKey({ columns: [table.model, table.version, table.level] })],
);

/** Every policy there has been; the one with the highest version is in force. Two writers of one version collide here. */
export const policies = sqliteTable('policies', {
  version: integer().primaryKey(),
  document: text({ mode: 'json' }).$type<Policy>().notNull(),
  createdAtMs: integer().notNull(),
  /** Who put it in force; null where that was not yet kept. */
  createdBy: text(),
  /** The version whose document this repeats, where it is a rollback. */
  rollbackTo: integer(),
});

/** The secret before the last rotation, and until when it is good beside the new one. */
const rotated = { previousSalt: text(), previousHash: text(), previousUntilMs: integer() };

/** A secret that a rotation has promised to keep for a while. */
export interface EarlierSecret {
  readonly salt: string;
  readonly hash: string;
  readonly untilMs: number;
}

/** Secrets before that one whose time was not over when it was rotated; null for none. */
const rotatedBefore = {
  earlierSecrets: text({ mode: 'json' }).$type<readonly EarlierSecret[] | null>(),
};

/** API keys of clients. The key itself is shown once and stored nowhere. */
export const apiKeys = sqliteTable(
  'api_keys',
  {
    id: text().primaryKey(),
    name: text().notNull(),
    /** The key's public part, by which its row is found. */
    prefix: text().notNull(),
    salt: text().notNull(),
    /** HMAC-SHA256 of salt and key under the deployment's pepper, hex. */
    hash: text().notNull(),
    createdAtMs: integer().notNull(),
    expiresAtMs: integer(),
    revokedAtMs: integer(),
    ...rotated,
    /** SLA classes and models that this key may use; null for all. */
    classes: text({ mode: 'json' }).$type<readonly string[] | null>(),
    models: text({ mode: 'json' }).$type<readonly string[] | null>(),
    rateLimit: text({ mode: 'json' }).$type<RateLimit | null>(),
    budget: text({ mode: 'json' }).$type<KeyBudget | null>(),
    /** Grows with each change of `budget` or `rateLimit`, so that the ledger knows which of two it is told is the newer one. */
    budgetRevision: integer().notNull().default(0),
    /** Whether it may ask for the reasons of a decision. */
    mayExplain: integer({ mode: 'boolean' }).notNull().default(false),
    ...rotatedBefore,
  },
  (table) => [uniqueIndex('api_keys_prefix').on(table.prefix)],
);

/** Tokens of operators, beside the deployment's own. Kept as keys are. */
export const operatorTokens = sqliteTable(
  'operator_tokens',
  {
    id: text().primaryKey(),
    name: text().notNull(),
    role: text().$type<OperatorRole>().notNull(),
    prefix: text().notNull(),
    salt: text().notNull(),
    hash: text().notNull(),
    createdAtMs: integer().notNull(),
    expiresAtMs: integer(),
    revokedAtMs: integer(),
    ...rotated,
    ...rotatedBefore,
  },
  (table) => [uniqueIndex('operator_tokens_prefix').on(table.prefix)],
);

/** Nodes that operators have registered: where each is, and what it last told of itself. Its token is kept as keys are. */
export const nodes = sqliteTable(
  'nodes',
  {
    name: text().primaryKey(),
    /** Origin, without a slash at its end. Requests go nowhere else. */
    url: text().notNull(),
    /** What its prices go by. */
    nodeClass: text().notNull(),
    /** The operator takes it out of service. */
    draining: integer({ mode: 'boolean' }).notNull(),
    prefix: text().notNull(),
    salt: text().notNull(),
    hash: text().notNull(),
    createdAtMs: integer().notNull(),
    /** When its last heartbeat came, by the gateway's clock; null before the first. */
    heardAtMs: integer(),
    report: text({ mode: 'json' }).$type<NodeReport | null>(),
    ...rotated,
    ...rotatedBefore,
  },
  (table) => [uniqueIndex('nodes_prefix').on(table.prefix), uniqueIndex('nodes_url').on(table.url)],
);

/** A bounded sample of decisions: what dry runs of policies replay. Old rows go as new ones come. */
export const decisions = sqliteTable(
  'decisions',
  {
    id: integer().primaryKey({ autoIncrement: true }),
    atMs: integer().notNull(),
    requestId: text().notNull(),
    model: text().notNull(),
    keyId: text(),
    slaClass: text(),
    policyVersion: integer().notNull(),
    /** What the client was answered. */
    status: integer().notNull(),
    /** How many decisions this one stands for. */
    weight: real().notNull(),
    /** The decision with its reasons, and what it was made from. */
    record: text({ mode: 'json' }).$type<Readonly<Record<string, unknown>>>().notNull(),
  },
  (table) => [index('decisions_at').on(table.atMs)],
);

/** One row for each change an operator made, written in the same batch as the change. */
export const audit = sqliteTable(
  'audit',
  {
    id: integer().primaryKey({ autoIncrement: true }),
    atMs: integer().notNull(),
    actor: text().notNull(),
    action: text().notNull(),
    target: text().notNull(),
    detail: text({ mode: 'json' }).$type<Readonly<Record<string, unknown>>>().notNull(),
  },
  (table) => [index('audit_at').on(table.atMs)],
);

export type LevelRow = typeof levels.$inferSelect;
export type ArtifactVersionRow = typeof artifactVersions.$inferSelect;
export type ApiKeyRow = typeof apiKeys.$inferSelect;
export type OperatorTokenRow = typeof operatorTokens.$inferSelect;
export type NodeRow = typeof nodes.$inferSelect;
export type DecisionRow = typeof decisions.$inferSelect;
