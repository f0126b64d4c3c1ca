import { describe, expect, test } from 'vitest';
import { defaultPolicy, type Policy } from '../../schema/policy.ts';
import { type Rules, rulesOf } from './rules.ts';
import { decide, levels, node, open, priced, type Scene, served } from './scene.fixture.ts';

describe('choosing a level', () => {
  test.each([
    [3, 0],
    [4.99, 0],
    [5, 1],
    [7, 2],
    [9, 3],
    [1000, 3],
  ])('a budget of %d ms gets level %d: execution plus network at the quantile', (budgetMs, level) => {
    const decision = served({ rules: { budgetMs } });
    expect(decision).toMatchObject({ fits: true, chosen: { level, node: 'a' } });
    expect(decision.chosen.predicted.totalMs).toBe(1 + 2 * (level + 1));
  });

  test('names the runner-up, and why each of the others was left', () => {
    const { decision, drops } = decide({
      rules: { budgetMs: 7, maxSparsity: 0.6 },
      nodes: [node('a'), node('b', { unusable: 'down' }), node('c', { times: new Map() })],
    });
    expect(decision).toMatchObject({
      runnerUp: { level: 1, node: 'a' },
      tally: { considered: 3, overLatency: 1, overCost: 0 },
    });
    expect(drops).toEqual([
      { node: 'b', reason: 'down' },
      { level: 3, node: 'a', reason: 'over the latency budget', predictedMs: 9, costNanoUsd: 0 },
      { level: 3, node: 'c', reason: 'not served there' },
      { level: 2, node: 'c', reason: 'not served there' },
      { level: 1, node: 'a', reason: 'fits, but another is better', predictedMs: 5, costNanoUsd: 0 },
      { level: 1, node: 'c', reason: 'not served there' },
      { level: 0, reason: 'sparser than null allows' },
    ]);
  });

  test('the reserve is held back from what is left', () => {
    expect(served({ rules: { budgetMs: 9, reserveMs: 2 } }).chosen.level).toBe(2);
    expect(served({ rules: { budgetMs: 9 }, budgetLeftMs: 5 }).chosen.level).toBe(1);
  });

  test('a queue makes its node slower by the work before this request over the workers', () => {
    const busy = node('a', { load: 3 });
    expect(served({ nodes: [busy] }).chosen.predicted.queueMs).toBe(((3 - 2 + 1) / 2) * 4);
    expect(served({ nodes: [busy, node('b')] }).chosen.node).toBe('b');
  });

  test('equal quality goes to fewer FLOPs', () => {
    const equal = levels.map((level) => ({ ...level, quality: 0.95 }));
    expect(served({ levels: equal }).chosen.level).toBe(0);
  });

  test('a quality that is asked for bounds the levels', () => {
    expect(decide({ rules: { budgetMs: 4 }, minQuality: 0.91 }).decision).toMatchObject({
      kind: 'infeasible',
      by: 'latency',
      nearest: { level: 1 },
    });
  });

  test('a pinned level is the only one, and still has to fit', () => {
    expect(served({ pinnedLevel: 1 }).chosen.level).toBe(1);
    expect(decide({ pinnedLevel: 3, rules: { budgetMs: 8 } }).decision.kind).toBe('infeasible');
  });

  test('a batch between two measured sizes costs between them; beyond, in proportion', () => {
    const times = new Map([
      [0, [9, 1].map((batch) => ({ batch, p50Ms: batch, p95Ms: batch * 2, p99Ms: batch * 3 }))],
    ]);
    const executeMs = (batch: number) =>
      served({ batch, rules: { budgetMs: 1000 }, nodes: [node('a', { times })] }).chosen.predicted.executeMs;
    expect([1, 5, 9, 90].map(executeMs)).toEqual([2, 10, 18, 180]);
  });
});

describe('cost', () => {
  const tenALevel = priced((level) => ({ fixedNanoUsd: 10 * (level + 1) }));

  test('is fixed, by the begun millisecond and by the begun KiB, and bounded by its budget', () => {
    const priceOf = priced(() => ({ fixedNanoUsd: 5, perMsNanoUsd: 100, perKiBNanoUsd: 2 }));
    expect(served({ priceOf, bytes: 1024 }).chosen).toMatchObject({ level: 3, costNanoUsd: 5 + 800 + 2 });
    expect(served({ priceOf, bytes: 1025 }).chosen.costNanoUsd).toBe(5 + 800 + 4);
    expect(served({ priceOf, bytes: 10, costBudgetNanoUsd: 806 }).chosen.level).toBe(2);
    expect(served({ priceOf, bytes: 10, costBudgetNanoUsd: 807 }).chosen.level).toBe(3);
  });

  test('a budget below the least of its class is refused, whatever would fit', () => {
    const rules = { budgetMs: 50, minBudgetMs: 51, infeasible: 'serve-sparsest' } as const;
    expect(decide({ rules }).decision).toMatchObject({ kind: 'infeasible', by: 'class' });
    expect(decide({ rules: { ...rules, minBudgetMs: 50 } }).decision.kind).toBe('serve');
  });

  test('that is over the budget at every level refuses, whatever the policy, and says what the cheapest takes', () => {
    const scene: Scene = {
      priceOf: tenALevel,
      costBudgetNanoUsd: 9,
      rules: { infeasible: 'serve-sparsest' },
    };
    expect(decide(scene).decision).toMatchObject({
      kind: 'infeasible',
      by: 'cost',
      nearest: { level: 0, costNanoUsd: 10 },
    });
  });

  test('breaks ties of quality', () => {
    const priceOf = priced((_, nodeClass) => ({ fixedNanoUsd: nodeClass === 'gpu' ? 50 : 7 }));
    const nodes = [node('a', { nodeClass: 'gpu' }), node('b', { load: 9 })];
    expect(served({ priceOf, nodes }).chosen.node).toBe('b');
  });

  test('comes first, or against quality at a rate, where the objective says so', () => {
    const of = (objective: Rules['objective']) =>
      served({ priceOf: tenALevel, rules: { objective } }).chosen.level;
    expect(of({ kind: 'cost-first' })).toBe(0);
    // A level more gains 0.01 and costs 10 nano-dollars.
    expect(of({ kind: 'weighted', nanoUsdPerQuality: 1001 })).toBe(3);
    expect(of({ kind: 'weighted', nanoUsdPerQuality: 999 })).toBe(0);
  });
});

describe('two choices', () => {
  const three = ['a', 'b', 'c'].map((name, i) => node(name, { load: i + 2 }));

  test('the quicker of two drawn nodes is taken, so that not all go to the quickest', () => {
    const taken = (draws: [number, number]) => served({ nodes: three, draws }).chosen.node;
    expect(taken([0, 0])).toBe('a');
    expect(taken([0.4, 0])).toBe('b');
    expect(taken([0.99, 0.99])).toBe('b');
    expect(taken([0.99, 0])).toBe('a');
  });

  test('never at the price of quality, cost or the budget', () => {
    const slow = node('z', { load: 100 });
    const decision = served({ nodes: [node('a'), slow], draws: [0.9, 0.9] });
    expect(decision.chosen.node).toBe('a');
  });
});

describe('tiers', () => {
  const tiered: Policy = {
    ...defaultPolicy,
    quantile: open.quantile,
    reserveMs: 0,
    tiers: [
      { name: 'tight', upToMs: 10, minSparsity: 0.5, maxSparsity: 1 },
      { name: 'wide', upToMs: 50, minSparsity: 0, maxSparsity: 0.3 },
    ],
  };

  test.each([
    [10, 1, 'tight'],
    [10.001, 3, 'wide'],
    [50.001, 3, null],
    [undefined, 3, null],
  ])('a budget of %d ms is served at level %d under tier %s', (latencyBudgetMs, level, tier) => {
    const rules = rulesOf(tiered, { latencyBudgetMs });
    expect(rules.tier).toBe(tier);
    expect(served({ rules }).chosen.level).toBe(level);
  });
});

describe('when nothing fits', () => {
  test('refuses with the sparsest level that was allowed, and its prediction', () => {
    expect(decide({ rules: { budgetMs: 2 } }).decision).toMatchObject({
      kind: 'infeasible',
      by: 'latency',
      nearest: { level: 0, predicted: { totalMs: 3 } },
    });
  });

  test('serves the sparsest allowed level where the policy says so', () => {
    const rules = { budgetMs: 2, infeasible: 'serve-sparsest' } as const;
    expect(served({ rules })).toMatchObject({ fits: false, chosen: { level: 0 }, runnerUp: { level: 1 } });
    expect(served({ rules, minQuality: 0.92 })).toMatchObject({ fits: false, chosen: { level: 2 } });
  });

  test('goes to the node that is mostly in time, not to the one that is never very late', () => {
    const times = (p50Ms: number, p95Ms: number) =>
      new Map(levels.map(({ level }) => [level, [{ batch: 1, p50Ms, p95Ms, p99Ms: p95Ms }]]));
    const nodes = [
      node('quick, once held up', { times: times(5, 60) }),
      node('slow', { times: times(30, 35) }),
    ];
    const rules = { budgetMs: 15, infeasible: 'serve-sparsest' } as const;
    expect(served({ nodes, rules })).toMatchObject({
      fits: false,
      chosen: { node: 'quick, once held up', level: 0 },
      runnerUp: { node: 'slow' },
    });
    // What would have been promised is told to whom it is refused.
    expect(decide({ nodes, rules: { budgetMs: 15 } }).decision).toMatchObject({ nearest: { node: 'slow' } });
  });

  test('refuses when the bounds leave no level, whatever the policy', () => {
    const { decision } = decide({ rules: { infeasible: 'serve-sparsest' }, minQuality: 0.99 });
    expect(decision).toMatchObject({ kind: 'infeasible', by: 'bounds', nearest: undefined });
  });

  test('no usable node is no-node, not an infeasible budget', () => {
    expect(decide({ nodes: [node('a', { unusable: 'down' })] }).decision).toEqual({ kind: 'no-node' });
    expect(decide({ nodes: [node('a', { times: new Map() })] }).decision).toEqual({ kind: 'no-node' });
    expect(decide({ nodes: [], minQuality: 1 }).decision).toEqual({ kind: 'no-node' });
  });
});
