import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Entry, entry, rules } from '../../../test/support/batch-entries.ts';
import { levelInTime, nextBatch } from './batcher.ts';
import { steadyLevel, sustainableLevel } from './level-for-all.ts';

describe('the level that all can have', () => {
  const loose = (name: string, deadlineMs: number | undefined) =>
    entry(name, deadlineMs, { level: 3, minLevel: 0 });

  test('is the dense one while there is time for all, and sparser the more wait', () => {
    const waiting = (count: number) => Array.from({ length: count }, (_, i) => loose(`${i}`, 60));
    // A row of a full run takes (10 + 7)/8 ms at level 3 and (4 + 7)/8 ms at level 0.
    const levels = [1, 20, 24, 60].map((count) => sustainableLevel(waiting(count), 0, rules(), 1));
    expect(levels[0]).toBe(3);
    expect(levels.at(-1)).toBe(0);
    for (const [i, level] of levels.slice(1).entries()) expect(level).toBeLessThanOrEqual(levels[i]!);
    expect(new Set(levels).size).toBeGreaterThan(2);
  });

  test('is denser with more threads', () => {
    const waiting = Array.from({ length: 40 }, (_, i) => loose(`${i}`, 60));
    expect(sustainableLevel(waiting, 0, rules(), 1)).toBe(0);
    expect(sustainableLevel(waiting, 0, rules(), 4)).toBe(3);
  });

  test('does not follow requests that are lost anyway, or that have no deadline', () => {
    expect(sustainableLevel([loose('a', 1), loose('b', 40), loose('c', undefined)], 0, rules(), 1)).toBe(3);
  });

  test('counts requests that allow no sparser level at theirs', () => {
    const stubborn = Array.from({ length: 16 }, (_, i) => entry(`${i}`, 90, { level: 3, minLevel: 3 }));
    const after = loose('z', 90);
    expect(sustainableLevel([after], 0, rules(), 1)).toBe(3);
    expect(sustainableLevel([...stubborn, after], 0, rules(3), 1)).toBeLessThan(3);
  });

  test('the head of a queue steps down for those behind it, where it may', () => {
    const behind = Array.from({ length: 12 }, (_, i) =>
      entry(`${i}`, 31, { level: 3, minLevel: 0, shareKey: undefined }),
    );
    const waiting = [loose('a', 30), ...behind];
    const cap = sustainableLevel(waiting, 0, rules(), 4);
    expect(levelInTime(waiting[0]!, 0, rules())).toBe(3);
    expect(nextBatch(waiting, 0, rules(), { maxEntries: 99, cap }).batch?.level).toBe(cap);
    expect(cap).toBeLessThan(3);
    const firm = entry('a', 30, { level: 3, minLevel: 3 });
    expect(nextBatch([firm, ...behind], 0, rules(), { maxEntries: 99, cap }).batch?.level).toBe(3);
  });

  test('more of a burst is in time than when each takes the densest level for itself', () => {
    /** One thread, runs as long as expected, in order. @returns how many were in time */
    const served = (burst: readonly Entry[], foresight: boolean): number => {
      let [now, kept] = [0, 0];
      let waiting = [...burst];
      while (waiting.length > 0) {
        const cap = foresight ? sustainableLevel(waiting, now, rules(), 1) : Number.POSITIVE_INFINITY;
        const { batch, hopeless } = nextBatch(waiting, now, rules(), { maxEntries: 99, cap });
        waiting = waiting.filter((one) => !hopeless.includes(one) && !batch?.entries.includes(one));
        if (batch === undefined) break;
        now += rules().times(batch.level, batch.entries.length, 0)!.p50Ms;
        kept += batch.entries.filter(({ deadlineMs }) => now <= (deadlineMs ?? 1e9)).length;
      }
      return kept;
    };
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 10, max: 120 }), { minLength: 1, maxLength: 80 }),
        (deadlines) => {
          const burst = deadlines.toSorted((a, b) => a - b).map((ms, i) => loose(`${i}`, ms));
          expect(served(burst, true)).toBeGreaterThanOrEqual(served(burst, false) - 1);
        },
      ),
    );
    const burst = Array.from({ length: 48 }, (_, i) => loose(`${i}`, 72));
    expect(served(burst, true)).toBe(48);
    expect(served(burst, false)).toBeLessThan(48);
  });
});

describe('the level that keeps up with what comes', () => {
  const waiting = [entry('a', 100, { level: 3, minLevel: 0 })];
  // A row of a full run takes (4 + 2 l + 7)/8 ms: 2.125 at level 3, 1.375 at level 0.
  const at = (rowsPerMs: number, threads = 1) => steadyLevel(waiting, rowsPerMs, rules(), threads, 0);

  test('is not bound while the densest does, and falls to the sparsest as more comes', () => {
    expect([0, 0.47, 0.48, 0.6, 0.7, 9].map((rate) => at(rate))).toEqual([Infinity, Infinity, 2, 1, 0, 0]);
  });

  test('is denser with more threads, and sparser where runs are not shared', () => {
    expect(at(0.9, 2)).toBe(Infinity);
    const single = [entry('a', 100, { level: 3, minLevel: 0, shareKey: undefined })];
    expect(steadyLevel(single, 0.2, rules(), 1, 0)).toBe(0);
  });

  test('is sparser where shared runs may not be long enough to save much', () => {
    expect(at(0.3)).toBe(Infinity);
    const longest = { sparsestMs: 6, denserMs: 6 };
    expect(steadyLevel(waiting, 0.3, rules(), 1, 0, longest)).toBe(0);
    expect(steadyLevel(waiting, 0.1, rules(), 1, 0, longest)).toBe(Infinity);
    // The sparsest takes 11 ms for eight rows, the next one as long for six.
    expect(steadyLevel(waiting, 0.5, rules(), 1, 0, { sparsestMs: 20, denserMs: 20 })).toBe(2);
    expect(steadyLevel(waiting, 0.5, rules(), 1, 0, { sparsestMs: 20, denserMs: 9 })).toBe(0);
  });

  test('is the next one while little waits, but none denser than asked for, and not where even the sparsest falls behind', () => {
    const little = (count: number, rowsPerMs: number) =>
      steadyLevel(Array.from({ length: count }, () => waiting).flat(), rowsPerMs, rules(), 1, 10);
    expect([0.48, 0.6, 0.7, 9].map((rate) => little(1, rate))).toEqual([3, 2, 1, 0]);
    expect([0.48, 0.6, 0.7, 9].map((rate) => little(12, rate))).toEqual([2, 1, 0, 0]);
  });

  test('is not bound by what is not known', () => {
    expect(steadyLevel(waiting, 9, rules(1, { times: () => undefined }), 1, 0)).toBe(Infinity);
  });
});
