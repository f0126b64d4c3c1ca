/** The kept sample of decisions: bounded in number and age, whatever comes. */
import { desc, eq, getTableColumns, lt, lte, sql } from 'drizzle-orm';
import { z } from 'zod';
import { type DecisionRow, decisions } from '../../schema/db/tables.ts';
import type { DecisionInput } from '../decisions/decision-input.ts';
import type { WeighedDecision } from '../decisions/decision-log.ts';
import type { RecordedDecision } from '../decisions/dry-run.ts';
import type { Database } from './database.ts';
import { type IdRange, within } from './id-range.ts';

export const ROWS_KEPT = 10_000;
export const KEPT_MS = 7 * 86_400_000;
/** Of a row, in the table's order, without the id that it is given. */
const FIELDS = [
  'atMs',
  'requestId',
  'model',
  'keyId',
  'slaClass',
  'policyVersion',
  'status',
  'weight',
  'record',
];
/** A row that would be larger is kept without what it was made from, and is not replayed. */
const MAX_ROW_CHARACTERS = 32_000;

/** One statement whatever the number, since D1 bounds the values of a statement; old rows go in the same batch. */
export async function writeDecisions(
  db: Database,
  batch: readonly WeighedDecision[],
  nowMs: number,
  rowsKept = ROWS_KEPT,
): Promise<void> {
  const rows = batch.map(({ record, keyId, input, weight }) => {
    const whole = { ...record, input };
    const fits = JSON.stringify(whole).length <= MAX_ROW_CHARACTERS;
    return {
      atMs: record.atMs,
      requestId: record.requestId,
      model: record.model,
      keyId,
      slaClass: record.rules.slaClass,
      policyVersion: record.policyVersion,
      status: record.outcome.status,
      weight,
      record: JSON.stringify(fits ? whole : { ...record, drops: undefined, input: null }),
    };
  });
  const field = (name: string) => sql.raw(`json_extract(value, '$.${name}')`);
  const fields = FIELDS.map(field);
  await db.batch([
    db
      .insert(decisions)
      .select(sql`select null, ${sql.join(fields, sql`, `)} from json_each(${JSON.stringify(rows)})`),
    db.delete(decisions).where(lt(decisions.atMs, nowMs - KEPT_MS)),
    db.delete(decisions).where(lte(decisions.id, sql`(select max(id) from decisions) - ${rowsKept}`)),
  ]);
}

/** Most of a row is what it was made from, which the database leaves out by itself. */
const withoutInput = {
  ...getTableColumns(decisions),
  record: sql`json_remove(${decisions.record}, '$.input')`.mapWith(decisions.record),
};

/** Newest first, without what they were made from. @param range only rows with an id between these two */
export async function listDecisions(
  db: Database,
  limit: number,
  range: IdRange = {},
): Promise<DecisionRow[]> {
  return db
    .select(withoutInput)
    .from(decisions)
    .where(within(decisions.id, range))
    .orderBy(desc(decisions.id))
    .limit(limit);
}

export async function decisionsOf(db: Database, requestId: string): Promise<DecisionRow[]> {
  return db
    .select()
    .from(decisions)
    .where(eq(decisions.requestId, requestId))
    .orderBy(desc(decisions.id))
    .limit(10);
}

const storedInput = z.looseObject({
  input: z.custom<DecisionInput>((value) => typeof value === 'object' && value !== null && 'levels' in value),
});

/** A few megabytes once they are parsed: an isolate has 128 for all of its requests. */
const PAGE_ROWS = 50;

/** The newest that can be replayed, some at a time. @param limit of the rows that are looked at */
export async function* recordedDecisions(
  db: Database,
  limit: number,
  pageRows = PAGE_ROWS,
): AsyncGenerator<RecordedDecision[]> {
  let before: number | undefined;
  for (let left = limit; left > 0; left -= pageRows) {
    const rows = await db
      .select()
      .from(decisions)
      .where(before === undefined ? undefined : lt(decisions.id, before))
      .orderBy(desc(decisions.id))
      .limit(Math.min(left, pageRows));
    yield rows.flatMap(({ requestId, model, atMs, weight, record }) => {
      const stored = storedInput.safeParse(record);
      return stored.success ? [{ requestId, model, atMs, weight, input: stored.data.input }] : [];
    });
    before = rows.at(-1)?.id;
    if (rows.length < Math.min(left, pageRows) || before === undefined) return;
  }
}
