/** Entries and times for the tests of what chooses runs. */
import type { BatchEntry, BatchRules } from '../../infra/node/queue/batcher.ts';

export interface Entry extends BatchEntry {
  readonly name: string;
}

export const entry = (name: string, deadlineMs: number | undefined, extra: Partial<Entry> = {}): Entry => ({
  name,
  deadlineMs,
  level: 2,
  minLevel: 2,
  rows: 1,
  length: 0,
  shareKey: 'k',
  ...extra,
});

/** Level l takes 4 + 2 l ms for one row, and `more` ms for each further one; the worst of 20 runs takes 1 ms longer. */
export const rules = (more = 1, extra: Partial<BatchRules> = {}): BatchRules => ({
  maxRows: 8,
  times: (level, rows) => {
    const p50Ms = 4 + 2 * level + more * (rows - 1);
    return { fastestMs: p50Ms - 1, p50Ms, p95Ms: p50Ms + 1 };
  },
  atHand: () => true,
  ...extra,
});
