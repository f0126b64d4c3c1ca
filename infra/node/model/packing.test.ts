import { describe, expect, test } from 'vitest';
import { packing } from './packing.ts';

describe('the level to pack', () => {
  test('is the one that most time is spent on, not the one with most runs', () => {
    const choice = packing();
    for (let i = 0; i < 10; i++) choice.record(0, 1);
    choice.record(3, 50);
    expect(choice.choose(0)).toBe(3);
  });

  test('stays while nothing runs and while another has only little more', () => {
    const choice = packing();
    expect(choice.choose(2)).toBe(2);
    expect(choice.choose(undefined)).toBeUndefined();
    choice.record(2, 100);
    choice.record(1, 140);
    expect(choice.choose(2)).toBe(2);
  });

  test('follows the load within a few intervals', () => {
    const choice = packing();
    choice.record(5, 1000);
    let current = choice.choose(undefined);
    expect(current).toBe(5);
    let intervals = 0;
    for (; current === 5; intervals++) {
      choice.record(1, 100);
      current = choice.choose(current);
    }
    expect(current).toBe(1);
    expect(intervals).toBeLessThan(6);
  });
});
