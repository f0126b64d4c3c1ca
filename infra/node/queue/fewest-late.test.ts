import { describe, expect, test } from 'vitest';
import { entry } from '../../../test/support/batch-entries.ts';
import type { BatchRules } from './batcher.ts';
import { fewestLate } from './fewest-late.ts';

/** One row usually takes 2 ms, and 1 ms each further one; a run of twenty takes `worstMs` longer. */
const rules = (worstMs: number): BatchRules => ({
  maxRows: 8,
  times: (_level, rows) => {
    const p50Ms = 1 + rows;
    return { fastestMs: p50Ms - 0.5, p50Ms, p95Ms: p50Ms + worstMs };
  },
  atHand: () => true,
});

/** Rows of the run, of as many as wait: the first has 5 ms, each one after it `gapMs` more. */
function rowsOf(waiting: number, gapMs: number, worstMs = 2.5): number {
  const all = Array.from({ length: waiting }, (_, i) => entry(`${i}`, 5 + i * gapMs));
  const alone = { level: 2, entries: [all[0]] as [(typeof all)[number]] };
  const moment = {
    waiting: all,
    nowMs: 0,
    rules: rules(worstMs),
    bounds: { maxEntries: all.length },
    threads: 1,
  };
  const run = fewestLate(alone, moment);
  expect(run.entries[0]).toBe(all[0]);
  return run.entries.length;
}

describe('a run that the first one is surely in time with alone', () => {
  test('is left so while few wait', () => {
    expect(rowsOf(1, 2)).toBe(1);
    expect(rowsOf(2, 2)).toBe(1);
  });

  test('is left so where those behind have time', () => {
    expect(rowsOf(20, 20)).toBe(1);
  });

  test('is longer where many would all be at their last moments behind such runs, though usually in time', () => {
    // Usually none would be late: one every 2 ms is what runs of one row hold.
    expect(rowsOf(40, 2)).toBe(3);
  });

  test('is no longer than the first one is usually in time with', () => {
    // Of 5 ms left a run of three rows, which takes 4, leaves a fifth; one of four would take all.
    expect(rowsOf(100, 2)).toBe(3);
  });

  test('is left so where times hardly vary: who is usually in time then is in time', () => {
    expect(rowsOf(40, 2, 0)).toBe(1);
  });

  test('is left so where those behind will have the time to run together', () => {
    // One row at a time the last of the hundred would be late; seven at a time none is.
    const slow: BatchRules = {
      maxRows: 8,
      times: (_level, rows) => {
        const p50Ms = 7 + 3 * rows;
        return { fastestMs: 0.8 * p50Ms, p50Ms, p95Ms: p50Ms + 32 };
      },
      atHand: () => true,
    };
    const all = [entry('first', 44), ...Array.from({ length: 100 }, (_, i) => entry(`${i}`, 1016))];
    const alone = { level: 2, entries: [all[0]] as [(typeof all)[number]] };
    const moment = { waiting: all, nowMs: 0, rules: slow, bounds: { maxEntries: 101 }, threads: 1 };
    expect(fewestLate(alone, moment)).toBe(alone);
  });
});
