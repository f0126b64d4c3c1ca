import { describe, expect, test } from 'vitest';
import { decide } from './decide.ts';
import type { Rules } from './rules.ts';
import { node, open, tableOf } from './scene.fixture.ts';

/** The sparsest level is in time after 20 ms at the near one, after 35 at the far one, where it runs for less. */
const nearAndFar = [
  { name: 'near', networkMs: 0, executeMs: 20 },
  { name: 'far', networkMs: 30, executeMs: 5 },
].map(({ name, networkMs, executeMs }) => {
  const times = [0, 1, 2].map((more) => ({
    batch: 1,
    p50Ms: executeMs + more,
    p95Ms: executeMs + more,
    p99Ms: executeMs + more,
  }));
  return node(name, {
    network: at(networkMs),
    times: new Map(times.map((known, level) => [level, [known]])),
  });
});

/** Three nodes, one slower than the other: the sparsest level is in time after 3, 6 and 9 ms. */
const nodes = ['a', 'b', 'c'].map((name, i) => node(name, { network: at(1 + 3 * i) }));

function at(ms: number) {
  return [{ bytes: 0, p50Ms: ms, p95Ms: ms, p99Ms: ms }];
}

function shedding(budgetMs: number, over: Partial<Rules> = {}, fleet = nodes) {
  const rules: Rules = { ...open, budgetMs, shedAbove: 1, overload: 'serve-sparsest', ...over };
  const table = tableOf(rules, { nodes: fleet, hopBytes: 0 });
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

  test('is served where it is in time, though the run would be shorter elsewhere', () => {
    const { decision } = shedding(25, {}, nearAndFar);
    expect(decision).toMatchObject({ kind: 'serve', fits: true, chosen: { level: 0, node: 'near' } });
  });
});

test.each([
  [20, 0, 'near'],
  [25, 0, 'near'],
  [34, 0, 'near'],
  [36, 0, 'near'],
  [45, 0, 'far'],
  [48, 1, 'far'],
])('in a busy fleet %d ms get level %d at the %s node', (budgetMs, level, name) => {
  const rules: Rules = { ...open, budgetMs };
  const table = tableOf(rules, { nodes: nearAndFar, hopBytes: 0 });
  const { decision } = decide(table, { rules, budgetLeftMs: budgetMs, bytes: 1000, pressure: 1 });
  expect(decision).toMatchObject({ kind: 'serve', fits: true, chosen: { level, node: name } });
});
