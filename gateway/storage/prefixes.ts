/** The public parts of tokens, by which their rows are found. */
import type { apiKeys, nodes, operatorTokens } from '../../schema/db/tables.ts';
import type { Database } from './database.ts';

export type PrefixedTable = typeof apiKeys | typeof operatorTokens | typeof nodes;

/** Of so many rows at most, in no order. */
export async function listPrefixes(db: Database, table: PrefixedTable, most: number): Promise<string[]> {
  const rows = await db.select({ prefix: table.prefix }).from(table).limit(most);
  return rows.map(({ prefix }) => prefix);
}
