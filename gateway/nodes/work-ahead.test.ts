import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { workAhead } from './work-ahead.ts';

const NEVER = Number.POSITIVE_INFINITY;

describe('the work ahead of a request', () => {
  test('is none while a worker is free', () => {
    const work = workAhead();
    expect(work.waitMs(2, 0)).toBe(0);
    work.begin(100, NEVER, 0);
    expect(work.waitMs(2, 0)).toBe(0);
  });

  test('counts each request with its own time, so a queue of sparse ones is short', () => {
    const [sparse, dense] = [workAhead(), workAhead()];
    for (let i = 0; i < 4; i++) {
      sparse.begin(5, NEVER, 0);
      dense.begin(25, NEVER, 0);
    }
    expect(sparse.waitMs(2, 0)).toBe(10);
    expect(dense.waitMs(2, 0)).toBe(50);
  });

  test('shrinks as time passes, and never to nothing while the worker is late', () => {
    const work = workAhead();
    work.begin(20, NEVER, 100);
    expect(work.waitMs(1, 105)).toBe(15);
    expect(work.waitMs(1, 500)).toBe(2);
  });

  test('what waits begins when what runs is over, early or late', () => {
    const work = workAhead();
    const first = work.begin(20, NEVER, 0);
    work.begin(10, NEVER, 0);
    first(false, 30);
    expect(work.waitMs(1, 34)).toBe(6);
  });

  test('what will be given up before it could begin is not waited for', () => {
    const work = workAhead();
    work.begin(20, NEVER, 0);
    work.begin(10, 15, 0);
    expect(work.waitMs(1, 0)).toBe(20);
    work.begin(10, 25, 0);
    expect(work.waitMs(1, 0)).toBe(30);
  });

  test('is what is due before it: nodes take what waits by its deadline', () => {
    const work = workAhead();
    const running = work.begin(20, 500, 0);
    work.begin(10, 300, 0);
    work.begin(40, 100, 0);
    expect([50, 100, 200, 300, NEVER].map((endMs) => work.waitMs(1, 0, endMs))).toEqual([20, 60, 60, 70, 70]);
    // What is due first starts first.
    running(false, 20);
    expect(work.waitMs(1, 20, 50)).toBe(40);
  });

  test('a run that was given up holds its worker to its usual end; what waited is gone at once', () => {
    const work = workAhead();
    const running = work.begin(20, NEVER, 0);
    const waiting = work.begin(50, NEVER, 0);
    expect(work.waitMs(1, 0)).toBe(70);
    waiting(true, 5);
    running(true, 5);
    expect(work.waitMs(1, 5)).toBe(15);
    expect(work.waitMs(1, 20)).toBe(0);
  });

  test('is nothing again once all is over, whatever the order, and told twice counts once', () => {
    const request = fc.record({ executeMs: fc.nat(50), end: fc.nat(100), stopped: fc.boolean() });
    fc.assert(
      fc.property(fc.array(request, { maxLength: 12 }), fc.integer({ min: 1, max: 4 }), (all, workers) => {
        const work = workAhead();
        const overs = all.map(({ executeMs }) => work.begin(executeMs, NEVER, 0));
        expect(work.waitMs(workers, 0)).toBeGreaterThanOrEqual(0);
        const ends = all.map(({ end, stopped }, i) => ({ end, stopped, over: overs[i] }));
        for (const { end, stopped, over } of ends.toSorted((a, b) => a.end - b.end)) {
          over?.(stopped, end);
          over?.(stopped, end);
        }
        expect(work.waitMs(workers, 1000)).toBe(0);
      }),
    );
  });
});
