import { describe, expect, test } from 'vitest';
import { entry, rules } from '../../../test/support/batch-entries.ts';
import { nextRun } from './next-run.ts';

const NOTHING_COMES = { sure: 0, present: 0, burst: 0 };

describe('the next run', () => {
  /** Rows of a run, and whether the first one is in it, where one whose deadline is near stands before others. */
  const run = (firstMs: number, others: number, budgetMs: number, threads = 1) => {
    const waiting = [entry('first', firstMs), ...Array.from({ length: others }, (_, i) => entry(`${i}`, 25))];
    const queue = { length: waiting.length, inOrder: () => waiting };
    const arrivals = { rates: () => NOTHING_COMES, shortestBudgetMs: () => budgetMs };
    const { batch } = nextRun(queue, 0, rules(0.5), { threads, idle: 1, arrivals });
    return { rows: batch?.entries.length, first: batch?.entries[0].name === 'first' };
  };

  test('is what the first one in time needs, where nobody else is late for it', () => {
    // One row is expected within 9 ms, two within 9.5.
    expect(run(9.2, 2, Infinity)).toEqual({ rows: 1, first: true });
    expect(run(9.2, 8, Infinity, 8)).toEqual({ rows: 1, first: true });
  });

  test('passes over one that leaves no room for the others, where more would be late', () => {
    expect(run(9.2, 12, Infinity)).toEqual({ rows: 8, first: false });
  });

  const cautious = (readiness: number, reserve: number, burst = 0) => {
    const waiting = [...'abcd'].map((name) => entry(name, 60, { level: 3, minLevel: 0 }));
    const queue = { length: waiting.length, inOrder: () => waiting };
    const arrivals = { rates: () => ({ sure: 0.1, present: 0.1, burst }), shortestBudgetMs: () => 40 };
    const caution = { at: () => ({ readiness, reserve }) };
    return nextRun(queue, 0, rules(), { threads: 1, idle: 1, arrivals, caution }).batch;
  };

  test('is at a sparser level the more is to be held in reserve', () => {
    expect([0, 0.2, 0.5, 1].map((reserve) => cautious(0, reserve)?.level)).toEqual([3, 2, 1, 0]);
  });

  test('is shorter and sparser the readier for another burst, as far as there was one', () => {
    // A run of four at the densest level usually takes 13 ms; a shared one may take 14, or half of that.
    expect([0, 1].map((readiness) => cautious(readiness, 0)?.entries.length)).toEqual([4, 1]);
    expect([0, 0.5, 1].map((readiness) => cautious(readiness, 0, 0.9)?.level)).toEqual([3, 2, 0]);
  });

  test('leaves half of what may be chance to the queue, less with readiness for another burst', () => {
    const queue = { length: 1, inOrder: () => [entry('a', 500, { level: 3, minLevel: 0 })] };
    const level = (readiness: number) => {
      const arrivals = { rates: () => ({ sure: 0.1, present: 0.9, burst: 0 }), shortestBudgetMs: () => 40 };
      const caution = { at: () => ({ readiness, reserve: 0 }) };
      return nextRun(queue, 0, rules(), { threads: 1, idle: 1, arrivals, caution }).batch?.level;
    };
    expect([0, 0.5, 1].map(level)).toEqual([3, 1, 0]);
  });

  test('asks how careful to be by what a run at the level asked for takes of the shortest budget', () => {
    const asked: number[] = [];
    const caution = {
      at(exposure: number) {
        asked.push(exposure);
        return { readiness: 0, reserve: 0 };
      },
    };
    const queue = { length: 1, inOrder: () => [entry('a', 60, { level: 3, minLevel: 0 })] };
    for (const budgetMs of [40, Number.POSITIVE_INFINITY]) {
      const arrivals = { rates: () => NOTHING_COMES, shortestBudgetMs: () => budgetMs };
      nextRun(queue, 0, rules(), { threads: 1, idle: 1, arrivals, caution });
    }
    // One row at level 3 usually takes 10 ms.
    expect(asked).toEqual([0.25, 0]);
  });

  test('is at the next level above the one that keeps up while little waits, less with readiness for another burst', () => {
    const level = (readiness: number, waiting: number, budgetMs = 100) => {
      const entries = Array.from({ length: waiting }, (_, i) =>
        entry(`${i}`, 500, { level: 3, minLevel: 0 }),
      );
      const arrivals = {
        rates: () => ({ sure: 0.6, present: 0.6, burst: 0.6 }),
        shortestBudgetMs: () => budgetMs,
      };
      const caution = { at: () => ({ readiness, reserve: 0 }) };
      const queue = { length: waiting, inOrder: () => entries };
      return nextRun(queue, 0, rules(), { threads: 1, idle: 1, arrivals, caution }).batch?.level;
    };
    expect([1, 12, 40].map((waiting) => level(0, waiting))).toEqual([2, 2, 1]);
    expect([1, 12, 40].map((waiting) => level(0.9, waiting))).toEqual([2, 1, 1]);
    expect([1, 12, 40].map((waiting) => level(1, waiting))).toEqual([1, 1, 1]);
    expect(level(1, 1, Number.POSITIVE_INFINITY)).toBe(1);
  });

  test('is longer than those to come would like, where many wait', () => {
    // A run of two usually takes 8.5 ms, one of eight 11.5.
    expect(run(25, 3, 25)).toEqual({ rows: 2, first: true });
    expect(run(25, 15, 25)).toEqual({ rows: 8, first: true });
  });
});
