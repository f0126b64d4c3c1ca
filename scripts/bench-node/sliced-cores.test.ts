import { describe, expect, test } from 'vitest';
import { slicedCores } from './sliced-cores.ts';

/** Threads that begin at 0 with so much work. @returns when each is through */
function ends(work: Readonly<Record<string, number>>, cores: number, yields = (_: string) => false) {
  const shared = slicedCores({ cores, sliceMs: 3, yields });
  const at: Record<string, number> = {};
  for (const [name, ms] of Object.entries(work))
    shared.add(name, ms, () => {
      at[name] = Math.round(shared.nowMs * 1000) / 1000;
    });
  shared.runOut();
  return at;
}

describe('cores that threads share', () => {
  test('let each run alone where there are enough of them', () => {
    expect(ends({ a: 5, b: 2 }, 2)).toEqual({ a: 5, b: 2 });
  });

  test('are dealt out in slices where there are not', () => {
    expect(ends({ a: 4, b: 1 }, 1)).toEqual({ b: 4, a: 5 });
    expect(ends({ a: 6, b: 6, c: 6 }, 2)).toEqual({ a: 6, b: 9, c: 9 });
  });

  test('are left at once by threads that give way', () => {
    const shared = slicedCores({ cores: 1, sliceMs: 3, yields: (name) => name === 'run' });
    const done: string[] = [];
    const log = (name: string) => () => done.push(`${name} at ${Math.round(shared.nowMs * 1000) / 1000}`);
    shared.add('run', 10, log('run'));
    shared.runUntil(1);
    shared.add('main', 2, log('main'));
    shared.add('main', 1, log('main'));
    shared.runUntil(20);
    expect(done).toEqual(['main at 3', 'main at 4', 'run at 13']);
    expect(shared.nowMs).toBe(20);
  });

  test('stand still with all that runs and waits', () => {
    const shared = slicedCores({ cores: 1, sliceMs: 3, yields: () => false });
    const done: string[] = [];
    for (const name of ['a', 'b']) shared.add(name, 4, () => done.push(`${name} at ${shared.nowMs}`));
    shared.runUntil(1);
    shared.standStill(40);
    // What came meanwhile comes late.
    shared.runUntil(20);
    expect(shared.nowMs).toBe(41);
    shared.runOut();
    expect(done).toEqual(['a at 47', 'b at 48']);
  });
});
