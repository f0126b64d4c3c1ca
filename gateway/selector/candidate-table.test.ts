import fc from 'fast-check';
import { expect, test } from 'vitest';
import { candidateTable, setColumn } from './candidate-table.ts';
import type { NodeOption } from './candidates.ts';
import { levels, node, open, priced } from './scene.fixture.ts';
import { select } from './select.ts';

test('a table that was brought up to date decides as one that is made anew', () => {
  const names = ['a', 'b', 'c'];
  const times = fc.array(fc.option(fc.integer({ min: 1, max: 40 })), {
    minLength: levels.length,
    maxLength: levels.length,
  });
  const someNode = (name: string) =>
    times.map(
      (known): NodeOption =>
        node(name, {
          times: new Map(
            known.flatMap((ms, level) =>
              ms === null ? [] : [[level, [{ batch: 1, p50Ms: ms, p95Ms: ms, p99Ms: ms }]]],
            ),
          ),
        }),
    );
  const fleet = fc.tuple(...names.map(someNode));
  const objective = fc.constantFrom(
    { kind: 'quality-first' } as const,
    { kind: 'cost-first' } as const,
    { kind: 'weighted', nanoUsdPerQuality: 1000 } as const,
  );
  const costBudget = fc.option(fc.integer({ min: 1, max: 120 }), { nil: undefined });
  const budget = fc.integer({ min: 1, max: 50 });
  const priceOf = priced((level) => ({ fixedNanoUsd: 5 * level, perMsNanoUsd: 2 }));
  fc.assert(
    fc.property(
      fleet,
      fc.nat(2),
      fleet,
      objective,
      costBudget,
      budget,
      (before, column, others, goal, costBudgetNanoUsd, ms) => {
        const after = before.with(column, others[column] as NodeOption);
        const input = { levels, quantile: 0.95, batch: 1, hopBytes: 0, priceOf };
        const table = candidateTable({ ...input, nodes: before });
        setColumn(table, column, after[column] as NodeOption, input);
        const request = {
          rules: { ...open, budgetMs: ms, objective: goal },
          budgetLeftMs: ms,
          costBudgetNanoUsd,
          bytes: 0,
        };
        const anew = candidateTable({ ...input, nodes: after });
        // How much had to be looked at may differ.
        const choice = (given: typeof table) => ({ ...select(given, request), tally: undefined });
        expect(choice(table)).toEqual(choice(anew));
      },
    ),
    { numRuns: 500 },
  );
});
