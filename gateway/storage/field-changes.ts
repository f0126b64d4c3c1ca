/** Changes to fields of a row that several operators may change at once: each is made to what the one before left. */
import { type Column, type SQL, sql } from 'drizzle-orm';
import { SppError } from '../../schema/errors.ts';

export interface FieldChanges<R> {
  /** What is to be changed, undefined where it is to stay; empty where the row is so already. */
  readonly set: Partial<R>;
  /** Holds for the row as long as these fields are as they were read. */
  readonly unchanged: readonly SQL[];
  /** For the trail: what each field was, and what it becomes. */
  readonly detail: Readonly<Record<string, { readonly from: unknown; readonly to: unknown }>>;
}

/** @param columns of the row's table, by field */
export function fieldChanges<R extends object, F extends keyof R & string>(
  columns: Readonly<Record<F, Column>>,
  row: R,
  changes: { readonly [K in F]?: R[K] | undefined },
): FieldChanges<R> {
  const fields = (Object.keys(changes) as F[]).filter(
    (field) => changes[field] !== undefined && JSON.stringify(changes[field]) !== JSON.stringify(row[field]),
  );
  const byField = <T>(value: (field: F) => T) =>
    Object.fromEntries(fields.map((field) => [field, value(field)]));
  return {
    set: byField((field) => changes[field]) as Partial<R>,
    // `is` holds between nulls, too.
    unchanged: fields.map((field) => sql`${columns[field]} is ${sql.param(row[field], columns[field])}`),
    detail: byField((field) => ({ from: row[field], to: changes[field] })),
  };
}

/** Who loses to so many others in turn is told so. */
const ATTEMPTS = 8;

/**
 * @param attempt reads the row and changes it; undefined where another one changed it in between
 * @throws `conflict` where others were always quicker
 */
export async function untilChanged<T>(noun: string, attempt: () => Promise<T | undefined>): Promise<T> {
  for (let count = 0; count < ATTEMPTS; count++) {
    const changed = await attempt();
    if (changed !== undefined) return changed;
  }
  throw new SppError('conflict', `Others changed the ${noun} at the same time.`, {
    hint: 'Send the change again.',
  });
}
