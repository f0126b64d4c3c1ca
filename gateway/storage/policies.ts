/** Policies by version. Version 0 is the default of the code; each replacement adds a row, none is ever changed. */
import { desc, eq, lt, max } from 'drizzle-orm';
import { policies } from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import { defaultPolicy, type Policy, policySchema } from '../../schema/policy.ts';
import { diff } from '../policy/diff.ts';
import { auditStatement } from './audit.ts';
import { type Database, isTaken } from './database.ts';
import { isDeleted, unlessDeleted, type VersionAddress } from './deleted-versions.ts';

export interface VersionedPolicy {
  readonly version: number;
  readonly document: Policy;
  /** Null for the default. */
  readonly createdAtMs: number | null;
  readonly createdBy: string | null;
  /** The version whose document this one repeats, where it is a rollback. */
  readonly rollbackTo: number | null;
}

/** What requests go by. */
export interface PolicyInForce extends VersionedPolicy {
  /** The version that governs the rest of the requests, while the one in force is a canary. */
  readonly baseline: VersionedPolicy | undefined;
}

const original: VersionedPolicy = {
  version: 0,
  document: defaultPolicy,
  createdAtMs: null,
  createdBy: null,
  rollbackTo: null,
};

export async function currentPolicy(db: Database): Promise<VersionedPolicy> {
  const [row] = await db.select().from(policies).orderBy(desc(policies.version)).limit(1);
  return row === undefined ? original : trusted(row);
}

/**
 * What stands in the database, whether or not it still is a policy: what no longer is one has to be replaced, and not to stand in
 * the way of that.
 */
export async function standingPolicy(
  db: Database,
): Promise<{ readonly version: number; readonly document: unknown }> {
  const [row] = await db.select().from(policies).orderBy(desc(policies.version)).limit(1);
  if (row === undefined) return original;
  // As it is read now, where it can be: what has a default by now is no change of whoever replaces it.
  const parsed = policySchema.safeParse(row.document);
  return parsed.success ? { ...row, document: parsed.data } : row;
}

/**
 * @param known is returned as it is where no other version is in force since: versions never change, and while a long document is read
 *   anew nobody is answered
 * @throws `not-ready` where it is not valid: no request is to blame for that
 */
export async function policyInForce(db: Database, known?: PolicyInForce): Promise<PolicyInForce> {
  if (known !== undefined && (await newestVersion(db)) === known.version) return known;
  try {
    const current = await currentPolicy(db);
    const { canary } = current.document;
    const baseline = canary?.kind === 'policy' ? await policyVersion(db, canary.baseline) : undefined;
    return { ...current, baseline };
  } catch (cause) {
    if (!(cause instanceof SppError)) throw cause;
    throw new SppError('not-ready', 'The policy in force is not valid.', {
      hint: 'The operator has to put a valid one in force.',
      retryAfterS: 30,
      cause,
    });
  }
}

async function newestVersion(db: Database): Promise<number> {
  const [row] = await db.select({ version: max(policies.version) }).from(policies);
  return row?.version ?? original.version;
}

/** A version never changes, so its number tells. */
export function samePolicies(a: PolicyInForce, b: PolicyInForce): boolean {
  return a.version === b.version && a.baseline?.version === b.baseline?.version;
}

export type PolicyHeading = Omit<VersionedPolicy, 'document'>;

/** Newest first, without the documents. @param before only versions with a lower number */
export async function listPolicyVersions(
  db: Database,
  limit: number,
  before: number | undefined,
): Promise<PolicyHeading[]> {
  const { version, createdAtMs, createdBy, rollbackTo } = policies;
  const rows = await db
    .select({ version, createdAtMs, createdBy, rollbackTo })
    .from(policies)
    .where(before === undefined ? undefined : lt(version, before))
    .orderBy(desc(version))
    .limit(limit);
  if (rows.length === limit || before === original.version) return rows;
  const { document, ...first } = original;
  return [...rows, first];
}

export async function policyVersion(db: Database, version: number): Promise<VersionedPolicy | undefined> {
  if (version === original.version) return original;
  const [row] = await db.select().from(policies).where(eq(policies.version, version));
  return row && trusted(row);
}

/** A row of the trail has its bounds; the versions themselves hold everything. */
const CHANGES_KEPT = 200;

export interface PolicyChange {
  /** The version that the operator has seen. */
  readonly expected: number;
  readonly document: Policy;
  readonly rollbackTo?: number | undefined;
  readonly actor: string;
  readonly nowMs: number;
}

/**
 * Puts a policy in force, with its audit row or not at all.
 * @throws `etag-mismatch` when another version has come into force meanwhile, `bad-policy` when it names an artifact version that was
 *   deleted: what is deleted while a policy is looked at may be named by none
 */
export async function replacePolicy(db: Database, change: PolicyChange): Promise<VersionedPolicy> {
  const { expected, document, rollbackTo = null, actor, nowMs } = change;
  const current = await standingPolicy(db);
  if (current.version !== expected) throw changedMeanwhile(current.version);
  const next = { version: expected + 1, document, createdAtMs: nowMs, createdBy: actor, rollbackTo };
  const changes = diff(current.document, document);
  const named = await versionsNamed(db, document);
  try {
    await db.batch([
      db.insert(policies).values(next),
      auditStatement(db, {
        atMs: nowMs,
        actor,
        action: rollbackTo === null ? 'policy.replace' : 'policy.rollback',
        target: `policy/${next.version}`,
        detail: {
          from: expected,
          to: next.version,
          ...(rollbackTo === null ? {} : { rollbackTo }),
          changes: changes.slice(0, CHANGES_KEPT),
          ...(changes.length > CHANGES_KEPT ? { changesLeftOut: changes.length - CHANGES_KEPT } : {}),
        },
      }),
      ...named.map((address) => unlessDeleted(db, address)),
    ]);
  } catch (error) {
    if (!isTaken(error)) throw error;
    for (const address of named) if (await isDeleted(db, address)) throw namesDeleted(address);
    throw changedMeanwhile(next.version);
  }
  return next;
}

/** By its canary, or that of the policy beside which it is one. */
async function versionsNamed(db: Database, { canary }: Policy): Promise<VersionAddress[]> {
  const rest = canary?.kind === 'policy' ? await policyVersion(db, canary.baseline) : undefined;
  const artifacts = canary?.kind === 'policy' ? rest?.document.canary : canary;
  if (artifacts?.kind !== 'artifact') return [];
  const { model, baseline, candidate } = artifacts;
  return [baseline, candidate].map((version) => ({ model, version }));
}

function namesDeleted({ model, version }: VersionAddress): SppError {
  const message = `names ${model}/${version}, which was deleted`;
  return new SppError('bad-policy', `The policy cannot be put in force. canary: ${message}.`, {
    hint: 'GET /v1/artifacts/{model} lists the versions that there are.',
    details: { errors: [{ path: 'canary', message }] },
  });
}

/** Rows outlive the code that wrote them: a document that no longer is a policy must not be served by. */
function trusted(row: typeof policies.$inferSelect): VersionedPolicy {
  const parsed = policySchema.safeParse(row.document);
  if (!parsed.success)
    throw new SppError('bad-policy', `Policy version ${row.version} in the database is not valid.`, {
      hint: 'It was written by another version of the gateway. PUT a valid one, or roll back to a version that is; If-Match takes its number.',
      details: { version: row.version },
      cause: parsed.error,
    });
  return { ...row, document: parsed.data };
}

function changedMeanwhile(version: number): SppError {
  return new SppError('etag-mismatch', `The policy is at version ${version} by now.`, {
    hint: 'GET /v1/policy, look at what changed, and send its ETag as If-Match.',
    details: { version },
  });
}
