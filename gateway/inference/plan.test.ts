import { expect, test } from 'vitest';
import { levels, node, open, tableOf } from '../selector/scene.fixture.ts';
import { select } from '../selector/select.ts';
import type { SelectionRequest } from '../selector/selection-request.ts';
import { timeGranted, worthAnother } from './plan.ts';

/** Usually 5.5 ms with the way there, a second at the quantile. */
const nodes = [
  node('a', {
    times: new Map(levels.map(({ level }) => [level, [{ batch: 1, p50Ms: 5, p95Ms: 1000, p99Ms: 1000 }]])),
  }),
];

function planned(budgetMs: number, pressure: number) {
  const rules = { ...open, budgetMs, infeasible: 'serve-sparsest' } as const;
  const table = tableOf(rules, { nodes, hopBytes: 0 });
  const selection: SelectionRequest = { rules, budgetLeftMs: budgetMs, bytes: 1, pressure };
  return { decision: select(table, selection), table, selection };
}

function granted(budgetMs: number, pressure: number, defaultBudgetMs: number): number {
  return timeGranted(planned(budgetMs, pressure), defaultBudgetMs);
}

test('what fits no budget has the default budget, or several times what it usually takes, not what it may take at worst', () => {
  expect(granted(2, 0, 100)).toBe(100);
  expect(granted(200, 0, 100)).toBe(200);
  expect(granted(2, 0, 1)).toBe(22);
});

test('in a busy fleet it has no more than its budget, or what it usually takes', () => {
  expect(granted(20, 1, 100)).toBe(20);
  expect(granted(2, 1, 100)).toBe(5.5);
});

test('what fits has its budget', () => {
  expect(granted(2000, 0, 5000)).toBe(2000);
});

test('a second node is worth asking where it mostly would be in time, whatever it may take at worst', () => {
  expect(worthAnother(planned(20, 0), 20)).toBe(true);
  expect(worthAnother(planned(20, 0), 5.5)).toBe(true);
  expect(worthAnother(planned(20, 0), 5)).toBe(false);
  expect(worthAnother(planned(2000, 0), 1500)).toBe(true);
});
