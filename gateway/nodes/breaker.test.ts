import { describe, expect, test } from 'vitest';
import { breaker } from './breaker.ts';

describe('a breaker', () => {
  const times = (count: number, act: () => void) => {
    for (let i = 0; i < count; i++) act();
  };

  test('does not open on a few failures, however bad their share', () => {
    const tested = breaker();
    times(4, () => tested.failure(0));
    expect(tested.state(0)).toBe('closed');
    tested.failure(0);
    expect(tested.state(0)).toBe('open');
  });

  test('does not open on many failures among more successes', () => {
    const tested = breaker();
    times(100, () => {
      tested.success(0);
      tested.success(0);
      tested.failure(0);
    });
    expect(tested.state(0)).toBe('closed');
  });

  test('forgets: failures that are far apart never add up', () => {
    const tested = breaker();
    for (let i = 0; i < 50; i++) tested.failure(10_000 * i);
    expect(tested.state(500_000)).toBe('closed');
  });

  test('asks for trials after a pause, and closes when two have passed', () => {
    const tested = breaker();
    times(5, () => tested.failure(0));
    expect(tested.state(999)).toBe('open');
    expect(tested.state(1000)).toBe('half-open');
    tested.success(1000);
    expect(tested.state(1001)).toBe('half-open');
    tested.success(1001);
    expect(tested.state(1001)).toBe('closed');
    times(4, () => tested.failure(1001));
    expect(tested.state(1001)).toBe('closed');
  });

  test('a failed trial pauses for longer, up to a bound, and a recovery starts anew', () => {
    const tested = breaker();
    times(5, () => tested.failure(0));
    let nowMs = 1000;
    const pauses: number[] = [];
    for (let i = 0; i < 6; i++) {
      tested.failure(nowMs);
      let pauseMs = 0;
      while (tested.state(nowMs + pauseMs) === 'open') pauseMs += 100;
      pauses.push(pauseMs);
      nowMs += pauseMs;
    }
    expect(pauses).toEqual([2000, 4000, 8000, 15_000, 15_000, 15_000]);
    times(2, () => tested.success(nowMs));
    times(5, () => tested.failure(nowMs));
    expect(tested.state(nowMs + 1000)).toBe('half-open');
  });

  test('late answers to requests from before do not close it', () => {
    const tested = breaker();
    times(5, () => tested.failure(0));
    times(9, () => tested.success(10));
    expect(tested.state(20)).toBe('open');
  });
});
