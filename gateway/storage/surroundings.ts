/** What a policy is held against, as the database has it now. */
import { and, inArray, isNotNull, isNull } from 'drizzle-orm';
import { apiKeys, nodes } from '../../schema/db/tables.ts';
import type { Policy } from '../../schema/policy.ts';
import type { NodeAddress } from '../nodes/node-address.ts';
import type { Surroundings } from '../policy/applicability.ts';
import { type CatalogVersion, loadCatalog } from './catalog.ts';
import type { Database } from './database.ts';
import { policyVersion } from './policies.ts';

/** D1 takes at most 100 bound values in one statement. */
const BOUND_VALUES = 90;

/** @param listed nodes of the setting, which the database does not know */
export async function surroundingsOf(
  db: Database,
  policy: Policy,
  listed: readonly NodeAddress[],
): Promise<Surroundings> {
  const catalog = await loadCatalog(db);
  const models = [...catalog.values()].map(
    ({ id, versions }) =>
      [id, new Map([...versions].map(([name, version]) => [name, version.levels.map(levelOption)]))] as const,
  );
  const named = policy.overrides.map(({ key }) => key);
  const keyIds = new Set<string>();
  const revokedKeys = new Set<string>();
  for (let from = 0; from < named.length; from += BOUND_VALUES) {
    const ids = named.slice(from, from + BOUND_VALUES);
    const { id: column, revokedAtMs } = apiKeys;
    const rows = await db.select({ id: column, revokedAtMs }).from(apiKeys).where(inArray(column, ids));
    for (const { id } of rows) keyIds.add(id);
    for (const { id, revokedAtMs: atMs } of rows) if (atMs !== null) revokedKeys.add(id);
  }
  const { canary } = policy;
  const baseline = canary?.kind === 'policy' ? await policyVersion(db, canary.baseline) : undefined;
  const bound = await db
    .select({ id: apiKeys.id, classes: apiKeys.classes })
    .from(apiKeys)
    .where(and(isNotNull(apiKeys.classes), isNull(apiKeys.revokedAtMs)));
  const registered = await db.selectDistinct({ nodeClass: nodes.nodeClass }).from(nodes);
  return {
    models: new Map(models),
    activeVersions: new Map([...catalog.values()].map(({ id, activeVersion }) => [id, activeVersion])),
    keyIds,
    revokedKeys,
    boundKeys: bound.map(({ id, classes }) => ({ id, classes: classes ?? [] })),
    nodeClasses: new Set([...listed, ...registered].map(({ nodeClass }) => nodeClass)),
    versions: new Map(baseline === undefined ? [] : [[baseline.version, baseline.document]]),
  };
}

function levelOption({ level, sparsity, flops, quality }: CatalogVersion['levels'][number]) {
  return { level, sparsity, flops, quality: quality.value };
}
