import { describe, expect, test } from 'vitest';
import { type Excess, excessWork } from './excess-work.ts';

/** Where no reserve made a difference. */
const only = (excessMs: number): Excess => ({ excessMs, boldMs: excessMs });

describe('excess work', () => {
  test('is what runs take more than the sparsest would, of those that have ended since and those under way', () => {
    const excess = excessWork();
    expect(excess.since(0)).toEqual(only(0));
    excess.began(8, 2, 0)(8, 100);
    expect(excess.since(100)).toEqual(only(6));
    expect(excess.since(101)).toEqual(only(0));
    const end = excess.began(3, 1, 0);
    expect(excess.since(101)).toEqual(only(2));
    end(3, 110);
    expect(excess.since(101)).toEqual(only(2));
    expect(excess.since(0)).toEqual(only(8));
    expect(excess.since(111)).toEqual(only(0));
  });

  test('grows with how much longer a run took, up to what no level explains', () => {
    const excess = excessWork();
    excess.began(4, 1, 0)(6, 10);
    expect(excess.since(10)).toEqual(only(4.5));
    excess.began(4, 1, 0)(400, 20);
    expect(excess.since(20)).toEqual(only(9));
    excess.began(4, 1, 0)(2, 30);
    expect(excess.since(30)).toEqual(only(1.5));
  });

  test('tells what it would have been without a reserve', () => {
    const excess = excessWork();
    excess.began(4, 1, 0.5)(8, 10);
    excess.began(4, 1, 0)(4, 10);
    // Where all may be at the sparsest, they ask for no less.
    excess.began(4, 1, 1);
    expect(excess.since(0)).toEqual({ excessMs: 12, boldMs: 18 });
  });

  test('is none of runs of the sparsest, those of which nothing is known, or whose sparser level looks slower', () => {
    const excess = excessWork();
    excess.began(2, 2, 0)(200, 10);
    excess.began(0, 0, 0)(5, 10);
    excess.began(2, 3, 0)(2, 10);
    expect(excess.since(0)).toEqual(only(0));
  });

  test('counts a run once, however often it is said to have ended', () => {
    const excess = excessWork();
    const end = excess.began(4, 1, 0);
    end(4, 10);
    end(4, 10);
    expect(excess.since(0)).toEqual(only(3));
  });

  test('keeps the latest runs of any number', () => {
    const excess = excessWork();
    for (let i = 0; i < 10_000; i++) excess.began(2, 1, 0)(2, i);
    expect(excess.since(9_500)).toEqual(only(500));
    expect(excess.since(0).excessMs).toBeGreaterThanOrEqual(1024);
    expect(excess.since(0).excessMs).toBeLessThanOrEqual(2048);
  });
});
