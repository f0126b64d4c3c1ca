/** Policies by version. Version 0 is the default of the code; each replacement adds a row, none is ever changed. */
import { desc, eq } from 'drizzle-orm';
import { policies } from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import { defaultPolicy, type Policy, policySchema } from '../../schema/policy.ts';
import { auditStatement } from './audit.ts';
import { type Database, isTaken } from './database.ts';

export interface VersionedPolicy {
  readonly version: number;
  readonly document: Policy;
  /** Null for the default. */
  readonly createdAtMs: number | null;
}

const original: VersionedPolicy = { version: 0, document: defaultPolicy, createdAtMs: null };

export async function currentPolicy(db: Database): Promise<VersionedPolicy> {
  const [row] = await db.select().from(policies).orderBy(desc(policies.version)).limit(1);
  return row === undefined ? original : trusted(row);
}

/** Newest first, without the documents. */
export async function listPolicyVersions(
  db: Database,
): Promise<{ version: number; createdAtMs: number | null }[]> {
  const rows = await db
    .select({ version: policies.version, createdAtMs: policies.createdAtMs })
    .from(policies)
    .orderBy(desc(policies.version));
  return [...rows, { version: original.version, createdAtMs: original.createdAtMs }];
}

export async function policyVersion(db: Database, version: number): Promise<VersionedPolicy | undefined> {
  if (version === original.version) return original;
  const [row] = await db.select().from(policies).where(eq(policies.version, version));
  return row && trusted(row);
}

export interface PolicyChange {
  /** The version that the operator has seen. */
  readonly expected: number;
  readonly document: Policy;
  readonly actor: string;
  readonly nowMs: number;
}

/**
 * Puts a policy in force, with its audit row or not at all.
 * @throws `etag-mismatch` when another version has come into force meanwhile
 */
export async function replacePolicy(db: Database, change: PolicyChange): Promise<VersionedPolicy> {
  const { expected, document, actor, nowMs } = change;
  const current = await currentPolicy(db);
  if (current.version !== expected) throw changedMeanwhile(current.version);
  const next = { version: expected + 1, document, createdAtMs: nowMs };
  try {
    await db.batch([
      db.insert(policies).values(next),
      auditStatement(db, {
        atMs: nowMs,
        actor,
        action: 'policy.replace',
        target: `policy/${next.version}`,
        detail: { from: expected, to: next.version },
      }),
    ]);
  } catch (error) {
    if (isTaken(error)) throw changedMeanwhile(next.version);
    throw error;
  }
  return next;
}

/** Rows outlive the code that wrote them: a document that no longer is a policy must not be served by. */
function trusted(row: { version: number; document: unknown; createdAtMs: number }): VersionedPolicy {
  const parsed = policySchema.safeParse(row.document);
  if (!parsed.success)
    throw new SppError('bad-policy', `Policy version ${row.version} in the database is not valid.`, {
      hint: 'It was written by another version of the gateway; put a valid one in force.',
      cause: parsed.error,
    });
  return { version: row.version, document: parsed.data, createdAtMs: row.createdAtMs };
}

function changedMeanwhile(version: number): SppError {
  return new SppError('etag-mismatch', `The policy is at version ${version} by now.`, {
    hint: 'GET /v1/policy, look at what changed, and send its ETag as If-Match.',
    details: { version },
  });
}
