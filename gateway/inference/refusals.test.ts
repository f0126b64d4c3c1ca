import { expect, test } from 'vitest';
import { node, open, tableOf } from '../selector/scene.fixture.ts';
import { select } from '../selector/select.ts';
import { refusal } from './refusals.ts';

/** Of a request with a budget of 100 ms, whose sparsest level takes 3. */
function refused(budgetLeftMs: number, budgetMs = open.budgetMs) {
  const rules = { ...open, budgetMs };
  const table = tableOf(rules, { nodes: [node('a')], hopBytes: 0 });
  const decision = select(table, { rules, budgetLeftMs, bytes: 1 });
  if (decision.kind === 'serve') throw new Error('It fits.');
  return refusal(decision, rules, budgetLeftMs);
}

test('what a slow body has left of a budget is told beside what would be needed', () => {
  expect(refused(1.5)).toMatchObject({
    code: 'budget-infeasible',
    message: expect.stringMatching(/100 ms, of which 1\.5 ms are left: .* takes 3 ms/),
    details: { latencyBudgetMs: 100, budgetLeftMs: 1.5, predictedMs: 3 },
  });
});

test('a budget that is used up before the choice has overrun, and is not called too small', () => {
  for (const left of [0, -50]) expect(refused(left)).toMatchObject({ code: 'budget-overrun' });
});

test('one that never was enough is too small, whether or not the clock has ticked meanwhile', () => {
  for (const left of [1, 0, -50])
    expect(refused(left, 1)).toMatchObject({ code: 'budget-infeasible', details: { predictedMs: 3 } });
});
