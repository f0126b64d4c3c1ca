import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Entry, entry, rules } from '../../../test/support/batch-entries.ts';
import { type BatchEntry, type BatchRules, levelInTime, nextBatch } from './batcher.ts';

const next = (entries: readonly Entry[], at = 0, by = rules(), most = 99) => {
  const { batch, hopeless } = nextBatch(entries, at, by, { maxEntries: most });
  return {
    level: batch?.level,
    names: batch?.entries.map(({ name }) => name).join('') ?? '',
    hopeless: hopeless.map(({ name }) => name).join(''),
  };
};

describe('the batcher', () => {
  test('takes as many as still fit the earliest deadline', () => {
    const waiting = [entry('a', 11), entry('b', 15), entry('c', 20), entry('d', undefined)];
    // One row is expected within 9 ms, two within 10, three within 11.
    expect(next(waiting)).toEqual({ level: 2, names: 'abc', hopeless: '' });
    expect(next(waiting, 1.5)).toEqual({ level: 2, names: 'a', hopeless: '' });
  });

  test('makes no run longer than it is told, for the sake of who comes next; one alone runs all the same', () => {
    const waiting = [...'abcdef'].map((name) => entry(name, undefined));
    const within = (longestMs: number) =>
      nextBatch(waiting, 0, rules(), {
        maxEntries: 99,
        longest: { sparsestMs: longestMs, denserMs: longestMs },
      }).batch?.entries.length;
    // Two rows usually take 9 ms, four 11.
    expect([within(11), within(9), within(1)]).toEqual([4, 2, 1]);
  });

  test('makes a run that is denser than it need be shorter than one of the sparsest level', () => {
    const longest = { sparsestMs: 11, denserMs: 9 };
    const rowsOf = (minLevel: number) => {
      const waiting = [...'abcdef'].map((name) => entry(name, 99, { minLevel }));
      return nextBatch(waiting, 0, rules(), { maxEntries: 99, longest }).batch?.entries.length;
    };
    expect([rowsOf(2), rowsOf(1)]).toEqual([4, 2]);
  });

  test('does not go back to single runs where times vary so much that none is expected in time', () => {
    const tail: BatchRules['times'] = (_, rows) => ({
      fastestMs: 1,
      p50Ms: 2 + 0.5 * rows,
      p95Ms: 20 + 0.5 * rows,
    });
    const by = rules(1, { times: tail });
    const many = (deadlineMs: number) => [...'abcdefgh'].map((name) => entry(name, deadlineMs));
    expect(next(many(30), 0, by).names).toBe('abcdefgh');
    // Not expected even of one alone: as many as usually take half of the time that is left.
    expect(next(many(12), 0, by).names).toBe('abcdefgh');
    expect(next(many(8), 0, by).names).toBe('abcd');
    expect(next(many(4), 0, by).names).toBe('a');
    // Expected of one alone, so that others must not make it late.
    expect(next(many(20.9), 0, by).names).toBe('a');
  });

  test('takes all that it may where nobody is in a hurry', () => {
    const waiting = [...'abcdefghij'].map((name) => entry(name, undefined));
    expect(next(waiting).names).toBe('abcdefgh');
    expect(next(waiting, 0, rules(), 3).names).toBe('abc');
    expect(next(waiting, 0, rules(1, { maxRows: 1 })).names).toBe('a');
  });

  test('takes a larger size where a smaller one is better by no more than times vary', () => {
    const waiting = [...'abcdefgh'].map((name) => entry(name, undefined));
    const perRowMs = [10, 8, 6, 6.2, 6.4, 6.3, 6.5, 6.5];
    const by = (last: number): BatchRules => ({
      maxRows: 8,
      times: (_, rows) => {
        const p50Ms = rows * (rows === 8 ? last : perRowMs[rows - 1]!);
        return { fastestMs: p50Ms, p50Ms, p95Ms: p50Ms };
      },
      atHand: () => true,
    });
    expect(next(waiting, 0, by(6.5)).names).toBe('abcdefgh');
    expect(next(waiting, 0, by(7)).names).toBe('abcdefg');
  });

  test('leaves others alone where sharing gains nothing', () => {
    const waiting = [...'abcd'].map((name) => entry(name, undefined));
    expect(next(waiting, 0, rules(9)).names).toBe('a');
    expect(next(waiting, 0, rules(8)).names).toBe('abcd');
  });

  test('joins only what can be joined: equal keys, equal levels, rows within the limit', () => {
    const waiting = [
      entry('a', undefined, { rows: 3 }),
      entry('b', undefined, { shareKey: 'other' }),
      entry('c', undefined, { level: 1, minLevel: 1 }),
      entry('d', undefined, { rows: 6 }),
      entry('e', undefined, { shareKey: undefined }),
      entry('f', undefined, { rows: 5 }),
      entry('g', undefined),
    ];
    expect(next(waiting)).toEqual({ level: 2, names: 'af', hopeless: '' });
    expect(next(waiting.slice(4)).names).toBe('e');
  });

  test('runs a request larger than the limit alone', () => {
    expect(next([entry('a', undefined, { rows: 20 }), entry('b', undefined)]).names).toBe('a');
  });

  test('steps down as far as the deadline needs and the request allows, and climbs again when there is time', () => {
    const wanting = (deadlineMs: number, minLevel = 0) => [entry('a', deadlineMs, { level: 3, minLevel })];
    expect(next(wanting(11)).level).toBe(3);
    expect(next(wanting(10)).level).toBe(2);
    expect(next(wanting(5)).level).toBe(0);
    expect(next(wanting(10, 3)).level).toBe(3);
    expect(next(wanting(8, 3))).toEqual({ level: undefined, names: '', hopeless: 'a' });
    expect(next(wanting(9, 1), 0, rules(1, { atHand: (level) => level !== 2 })).level).toBe(1);
  });

  test('with too little time for any level, tries the sparsest that has ever been that fast', () => {
    expect(next([entry('a', 4, { level: 3, minLevel: 0 })]).level).toBe(0);
    expect(next([entry('a', 2.9, { level: 3, minLevel: 0 })]).hopeless).toBe('a');
  });

  test('a stepped-down request shares with those that asked for its level', () => {
    const waiting = [
      entry('a', 8, { level: 3, minLevel: 1 }),
      entry('b', undefined, { level: 1, minLevel: 1 }),
    ];
    expect(next(waiting)).toEqual({ level: 1, names: 'ab', hopeless: '' });
  });

  test('hands out what is hopeless on the way, without giving up the rest', () => {
    const waiting = [entry('a', -1), entry('b', 0), entry('c', 2), entry('d', 20), entry('e', 20)];
    expect(next(waiting)).toEqual({ level: 2, names: 'de', hopeless: 'abc' });
  });

  test('serves levels of which nothing is known, one by one', () => {
    const unknown = rules(1, { times: () => undefined });
    expect(next([entry('a', 0.5), entry('b', 1)], 0, unknown)).toEqual({
      level: 2,
      names: 'a',
      hopeless: '',
    });
  });

  const entries = fc.array(
    fc
      .record({
        deadlineMs: fc.option(fc.integer({ min: -5, max: 40 }), { nil: undefined }),
        levels: fc.tuple(fc.nat(3), fc.nat(3)),
        rows: fc.oneof({ weight: 3, arbitrary: fc.constant(1) }, fc.integer({ min: 1, max: 10 })),
        length: fc.constant(0),
        shareKey: fc.oneof({ weight: 3, arbitrary: fc.constant('k') }, fc.constantFrom('l', undefined)),
      })
      .map(({ levels, ...rest }) => ({ ...rest, level: Math.max(...levels), minLevel: Math.min(...levels) })),
    { maxLength: 14, size: 'max' },
  );
  const order = (list: readonly BatchEntry[]) =>
    list.toSorted((a, b) => (a.deadlineMs ?? 1e9) - (b.deadlineMs ?? 1e9));

  const waiting = fc.tuple(
    entries,
    fc.double({ min: 0.1, max: 12, noNaN: true }).map((more) => rules(more)),
    fc.integer({ min: 1, max: 9 }),
  );

  test('whatever waits: every run keeps its promises', () => {
    fc.assert(
      fc.property(waiting, ([list, by, most]) => {
        const { batch, hopeless } = nextBatch(order(list), 0, by, { maxEntries: most });
        for (const lost of hopeless) expect(levelInTime(lost, 0, by)).toBeUndefined();
        if (batch === undefined) {
          expect(hopeless.length).toBe(list.length);
          return;
        }
        for (const { level, minLevel } of batch.entries) {
          expect(batch.level).toBeLessThanOrEqual(level);
          expect(batch.level).toBeGreaterThanOrEqual(minLevel);
        }
        expect(batch.entries.length).toBeLessThanOrEqual(most);
        expect(new Set(batch.entries).size).toBe(batch.entries.length);
        // Nobody who could be served and is due before the head is passed over.
        const served = order(list).find((one) => levelInTime(one, 0, by) !== undefined);
        expect(batch.entries[0]).toBe(served);
      }),
      { numRuns: 1000 },
    );
  });

  test('whatever waits: who shares a run may, is in time, and takes no longer than alone', () => {
    fc.assert(
      fc.property(waiting, ([list, by, most]) => {
        const { batch } = nextBatch(order(list), 0, by, { maxEntries: most });
        fc.pre(batch !== undefined && batch.entries.length > 1);
        const [head, ...others] = batch.entries;
        const rows = batch.entries.reduce((sum, { rows: count }) => sum + count, 0);
        expect(rows).toBeLessThanOrEqual(by.maxRows);
        expect(head.shareKey).toBeDefined();
        for (const { shareKey } of others) expect(shareKey).toBe(head.shareKey);
        const expected = by.times(batch.level, rows, 0)!;
        for (const { deadlineMs } of batch.entries)
          expect(expected.p95Ms).toBeLessThanOrEqual(deadlineMs ?? 1e9);
        const alone = by.times(batch.level, head.rows, 0)!;
        expect(expected.p50Ms / rows).toBeLessThanOrEqual(alone.p50Ms / head.rows + 1e-9);
      }),
      { numRuns: 300 },
    );
  });
});
