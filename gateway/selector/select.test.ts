import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Policy } from '../../schema/policy.ts';
import type { LevelOption, NodeOption, SelectionInput } from './candidates.ts';
import { select } from './select.ts';

const open: Policy = {
  schemaVersion: 1,
  quantile: 0.95,
  defaultLatencyBudgetMs: 100,
  reserveMs: 0,
  infeasible: 'refuse',
  tiers: [],
};

/** Level k takes 2(k+1) ms at p95 and has quality 0.9 + k/100. */
const levels: LevelOption[] = [0, 1, 2, 3].map((level) => ({
  level,
  quality: 0.9 + level / 100,
  sparsity: 0.75 - level / 4,
  flops: 100 * (level + 1),
}));

function node(name: string, over: Partial<NodeOption> = {}): NodeOption {
  return {
    name,
    network: { p50Ms: 0.5, p95Ms: 1, p99Ms: 2 },
    workers: 2,
    load: 0,
    serviceMs: 4,
    times: new Map(
      levels.map(({ level }) => [level, [{ batch: 1, p50Ms: level + 1, p95Ms: 2 * (level + 1), p99Ms: 20 }]]),
    ),
    ...over,
  };
}

function input(over: Partial<SelectionInput> = {}): SelectionInput {
  const budgetMs = over.requestedBudgetMs ?? over.budgetLeftMs ?? 100;
  return {
    requestedBudgetMs: budgetMs,
    budgetLeftMs: budgetMs,
    batch: 1,
    policy: open,
    levels,
    nodes: [node('a')],
    ...over,
  };
}

const chosen = (over: Partial<SelectionInput>) => {
  const decision = select(input(over));
  if (decision.kind !== 'serve') throw new Error(`${decision.kind}: ${JSON.stringify(decision)}`);
  return decision;
};

describe('choosing a level', () => {
  test.each([
    [3, 0],
    [4.99, 0],
    [5, 1],
    [7, 2],
    [9, 3],
    [1000, 3],
  ])('a budget of %d ms gets level %d: execution plus network at the quantile', (budgetMs, level) => {
    const decision = chosen({ requestedBudgetMs: budgetMs });
    expect(decision).toMatchObject({ fits: true, chosen: { level, node: 'a' } });
    expect(decision.chosen.predicted.totalMs).toBe(1 + 2 * (level + 1));
  });

  test('names the runner-up and why others were left', () => {
    const { runnerUp, drops } = chosen({ requestedBudgetMs: 7 });
    expect(runnerUp?.level).toBe(1);
    expect(drops).toEqual([{ level: 3, node: 'a', reason: 'over the budget', predictedMs: 9 }]);
  });

  test('the reserve is held back from what is left, not from what was asked', () => {
    expect(chosen({ requestedBudgetMs: 9, policy: { ...open, reserveMs: 2 } }).chosen.level).toBe(2);
    expect(chosen({ requestedBudgetMs: 9, budgetLeftMs: 5 }).chosen.level).toBe(1);
  });

  test('a queue makes its node slower by the work before this request over the workers', () => {
    const busy = node('a', { load: 3 });
    const { predicted } = chosen({ nodes: [busy] }).chosen;
    expect(predicted.queueMs).toBe(((3 - 2 + 1) / 2) * 4);
    expect(chosen({ nodes: [busy, node('b')] }).chosen.node).toBe('b');
  });

  test('equal quality goes to fewer FLOPs', () => {
    const equal = levels.map((level) => ({ ...level, quality: 0.95 }));
    expect(chosen({ levels: equal }).chosen.level).toBe(0);
  });

  test('a quality that is asked for bounds the levels', () => {
    expect(select(input({ requestedBudgetMs: 4, minQuality: 0.91 }))).toMatchObject({
      kind: 'infeasible',
      sparsest: { level: 1 },
      bounds: { minQuality: 0.91 },
    });
  });

  test('a pinned level is the only one, and still has to fit', () => {
    expect(chosen({ pinnedLevel: 1 }).chosen.level).toBe(1);
    expect(select(input({ pinnedLevel: 3, requestedBudgetMs: 8 })).kind).toBe('infeasible');
  });

  test('a batch between two measured sizes costs between them; beyond, in proportion', () => {
    const times = new Map([
      [0, [1, 9].map((batch) => ({ batch, p50Ms: batch, p95Ms: batch * 2, p99Ms: batch * 3 }))],
    ]);
    const executeMs = (batch: number) =>
      chosen({ batch, requestedBudgetMs: 1000, nodes: [node('a', { times })] }).chosen.predicted.executeMs;
    expect([1, 5, 9, 90].map(executeMs)).toEqual([2, 10, 18, 180]);
  });
});

describe('tiers', () => {
  const tiered: Policy = {
    ...open,
    tiers: [
      { name: 'tight', upToMs: 10, minSparsity: 0.5, maxSparsity: 1 },
      { name: 'wide', upToMs: 50, minSparsity: 0, maxSparsity: 0.3 },
    ],
  };

  test.each([
    [10, 1, 'tight'],
    [10.001, 3, 'wide'],
    [50.001, 3, null],
  ])('a budget of %d ms is served at level %d under tier %s', (budgetMs, level, tier) => {
    expect(chosen({ policy: tiered, requestedBudgetMs: budgetMs })).toMatchObject({
      chosen: { level },
      bounds: { tier },
    });
  });

  test('are picked by the budget asked for, however little of it is left', () => {
    expect(chosen({ policy: tiered, requestedBudgetMs: 40, budgetLeftMs: 9.5 }).bounds.tier).toBe('wide');
  });
});

describe('when nothing fits', () => {
  test('refuses with the sparsest level that was allowed, and its prediction', () => {
    expect(select(input({ requestedBudgetMs: 2 }))).toMatchObject({
      kind: 'infeasible',
      sparsest: { level: 0, predicted: { totalMs: 3 } },
    });
  });

  test('serves the sparsest allowed level where the policy says so', () => {
    const policy: Policy = { ...open, infeasible: 'serve-sparsest' };
    expect(chosen({ requestedBudgetMs: 2, policy })).toMatchObject({ fits: false, chosen: { level: 0 } });
    expect(chosen({ requestedBudgetMs: 2, policy, minQuality: 0.92 })).toMatchObject({
      fits: false,
      chosen: { level: 2 },
    });
  });

  test('refuses when the bounds leave no level, whatever the policy', () => {
    const policy: Policy = { ...open, infeasible: 'serve-sparsest' };
    expect(select(input({ policy, minQuality: 0.99 }))).toMatchObject({
      kind: 'infeasible',
      sparsest: undefined,
    });
  });

  test('no usable node is no-node, not an infeasible budget', () => {
    const nodes = [node('a', { unusable: 'down' })];
    expect(select(input({ nodes }))).toEqual({ kind: 'no-node', drops: [{ node: 'a', reason: 'down' }] });
    expect(select(input({ nodes: [node('a', { times: new Map() })] })).kind).toBe('no-node');
  });
});

describe('whatever the fleet', () => {
  const ms = fc.double({ min: 0.01, max: 100, noNaN: true });
  const times = fc
    .tuple(ms, ms, ms)
    .map((sample) => sample.toSorted((a, b) => a - b) as [number, number, number])
    .map(([p50Ms, p95Ms, p99Ms]) => ({ p50Ms, p95Ms, p99Ms }));
  const fleet = fc.array(
    fc.record({
      name: fc.constantFrom('a', 'b', 'c', 'd'),
      unusable: fc.option(fc.constant('down'), { nil: undefined }),
      network: times,
      workers: fc.integer({ min: 1, max: 8 }),
      load: fc.integer({ min: 0, max: 40 }),
      serviceMs: ms,
      times: fc
        .array(fc.tuple(fc.nat(5), times), { maxLength: 6 })
        .map((entries) => new Map(entries.map(([level, t]) => [level, [{ batch: 1, ...t }]]))),
    }),
    { maxLength: 4 },
  );
  const someLevels = fc.uniqueArray(fc.nat(5), { maxLength: 6 }).chain((ids) =>
    fc.tuple(
      ...ids.map((level) =>
        fc.record({
          level: fc.constant(level),
          quality: fc.double({ min: 0, max: 1, noNaN: true }),
          sparsity: fc.double({ min: 0, max: 1, noNaN: true }),
          flops: fc.integer({ min: 1, max: 9 }),
        }),
      ),
    ),
  );
  const scene = fc.record({
    nodes: fleet,
    levels: someLevels,
    requestedBudgetMs: fc.double({ min: 0.1, max: 400, noNaN: true }),
  });
  const share = fc.double({ min: 0, max: 1, noNaN: true });

  test('a larger budget never gets a worse level', () => {
    fc.assert(
      fc.property(scene, fc.double({ min: 1, max: 5, noNaN: true }), (small, factor) => {
        const large = { ...small, requestedBudgetMs: small.requestedBudgetMs * factor };
        const [first, second] = [select(input(small)), select(input(large))];
        if (first.kind !== 'serve') return;
        expect(second).toMatchObject({ kind: 'serve' });
        if (second.kind === 'serve')
          expect(second.chosen.quality).toBeGreaterThanOrEqual(first.chosen.quality);
      }),
    );
  });

  test('no dead node is chosen, no budget overrun by a fit, no tier left', () => {
    fc.assert(
      fc.property(scene, share, share, fc.boolean(), (given, a, b, refuse) => {
        const tier = { name: 't', upToMs: 1e6, minSparsity: Math.min(a, b), maxSparsity: Math.max(a, b) };
        const policy: Policy = { ...open, tiers: [tier], infeasible: refuse ? 'refuse' : 'serve-sparsest' };
        const decision = select(input({ ...given, policy }));
        if (decision.kind !== 'serve') return;
        const { chosen: taken, fits } = decision;
        expect(given.nodes.some((n) => n.name === taken.node && n.unusable === undefined)).toBe(true);
        expect(taken.sparsity).toBeGreaterThanOrEqual(tier.minSparsity);
        expect(taken.sparsity).toBeLessThanOrEqual(tier.maxSparsity);
        if (fits) expect(taken.predicted.totalMs).toBeLessThanOrEqual(given.requestedBudgetMs);
        else expect(refuse).toBe(false);
      }),
    );
  });

  test('the order of nodes and levels does not matter', () => {
    fc.assert(
      fc.property(scene, (given) => {
        const unique = given.nodes.filter((n, i) => given.nodes.findIndex((m) => m.name === n.name) === i);
        const forward = select(input({ ...given, nodes: unique }));
        const backward = select(
          input({ ...given, nodes: unique.toReversed(), levels: given.levels.toReversed() }),
        );
        expect(forward.kind).toBe(backward.kind);
        if (forward.kind === 'serve' && backward.kind === 'serve')
          expect(backward.chosen).toEqual(forward.chosen);
      }),
    );
  });
});
