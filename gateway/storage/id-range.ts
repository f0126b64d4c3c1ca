/** Part of a list that grows: what is older than one known row, or newer than another. */
import { and, gt, lt, type SQL } from 'drizzle-orm';
import type { SQLiteColumn } from 'drizzle-orm/sqlite-core';

export interface IdRange {
  /** Only rows with a lower id. */
  readonly before?: number | undefined;
  /** Only rows with a higher id. */
  readonly after?: number | undefined;
}

/** Undefined where all rows are. */
export function within(id: SQLiteColumn, { before, after }: IdRange): SQL | undefined {
  return and(
    before === undefined ? undefined : lt(id, before),
    after === undefined ? undefined : gt(id, after),
  );
}
