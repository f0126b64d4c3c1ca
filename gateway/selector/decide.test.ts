import { describe, expect, test } from 'vitest';
import { decide } from './decide.ts';
import type { Rules } from './rules.ts';
import { node, open, tableOf } from './scene.fixture.ts';

/** Three nodes, one slower than the other: the sparsest level is in time after 3, 6 and 9 ms. */
const nodes = ['a', 'b', 'c'].map((name, i) => node(name, { network: at(1 + 3 * i) }));

function at(ms: number) {
  return [{ bytes: 0, p50Ms: ms, p95Ms: ms, p99Ms: ms }];
}

function shedding(budgetMs: number, over: Partial<Rules> = {}) {
  const rules: Rules = { ...open, budgetMs, shedAbove: 1, overload: 'serve-sparsest', ...over };
  const table = tableOf(rules, { nodes, hopBytes: 0 });
  return decide(table, { rules, budgetLeftMs: budgetMs, bytes: 1000, pressure: 2 });
}

describe('a class that gives way under load', () => {
  test('is served by the sparsest level, and the record has what would have been next', () => {
    const { decision, shed } = shedding(100);
    expect(shed).toBe(true);
    expect(decision).toMatchObject({
      kind: 'serve',
      fits: true,
      chosen: { level: 0, node: 'a' },
      runnerUp: { level: 0, node: 'b' },
    });
  });

  test('has no runner-up that would be late where the chosen one is in time', () => {
    expect(shedding(4).decision).toMatchObject({ fits: true, chosen: { node: 'a' }, runnerUp: undefined });
    const late = { fits: false, chosen: { node: 'a' }, runnerUp: { node: 'b' } };
    expect(shedding(2, { infeasible: 'serve-sparsest' }).decision).toMatchObject(late);
  });

  test('is refused where nothing is in time and the policy serves nothing late, or sheds by refusing', () => {
    expect(shedding(2).decision.kind).toBe('infeasible');
    expect(shedding(100, { overload: 'refuse' }).decision.kind).toBe('infeasible');
  });
});
