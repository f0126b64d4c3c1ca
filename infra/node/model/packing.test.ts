import { describe, expect, test } from 'vitest';
import { packing } from './packing.ts';

describe('the level to pack', () => {
  test('is the one that most time is spent on, not the one with most runs', () => {
    const choice = packing();
    for (let i = 0; i < 10; i++) choice.record(0, 1, 1);
    choice.record(3, 50, 1);
    expect(choice.choose(0)).toBe(3);
  });

  test('stays while nothing runs and while another has only little more', () => {
    const choice = packing();
    expect(choice.choose(2)).toBe(2);
    expect(choice.choose(undefined)).toBeUndefined();
    choice.record(2, 100, 1);
    choice.record(1, 140, 1);
    expect(choice.choose(2)).toBe(2);
  });

  test('stays while another has more, but too little to be worth it', () => {
    const choice = packing();
    const once = (leastMs: number) => {
      choice.record(1, 300, 1);
      return choice.choose(2, leastMs);
    };
    expect([once(250), once(250)]).toEqual([2, 2]);
    // Work adds up while it goes on.
    expect(once(250)).toBe(1);
    expect(choice.workMs(1)).toBe(262.5);
  });

  test('tells the rows of runs by the time that they took, of late', () => {
    const choice = packing();
    expect(choice.rows(2)).toBe(1);
    choice.record(2, 10, 1);
    choice.record(2, 30, 8);
    expect(choice.rows(2)).toBe(6);
    for (let i = 0; i < 4; i++) {
      choice.choose(2);
      choice.record(2, 40, 1);
    }
    expect(choice.rows(2)).toBe(1);
  });

  test('follows the load within a few intervals', () => {
    const choice = packing();
    choice.record(5, 1000, 1);
    let current = choice.choose(undefined);
    expect(current).toBe(5);
    let intervals = 0;
    for (; current === 5; intervals++) {
      choice.record(1, 100, 1);
      current = choice.choose(current);
    }
    expect(current).toBe(1);
    expect(intervals).toBeLessThan(6);
  });
});
