import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { defaultPolicy, type Policy } from '../../schema/policy.ts';
import { candidateTable } from './candidate-table.ts';
import { free, type LevelOption, type NodeOption, type Price, type PriceOf } from './candidates.ts';
import { explain } from './explain.ts';
import { type Rules, rulesOf } from './rules.ts';
import { type Decision, select } from './select.ts';
import type { SelectionRequest } from './selection-request.ts';

const open: Rules = {
  slaClass: null,
  tier: null,
  budgetMs: 100,
  minBudgetMs: 0,
  costBudgetNanoUsd: null,
  quantile: 0.95,
  reserveMs: 0,
  minSparsity: 0,
  maxSparsity: 1,
  minQuality: 0,
  objective: { kind: 'quality-first' },
  infeasible: 'refuse',
  shedAbove: Number.POSITIVE_INFINITY,
  overload: 'refuse',
  hedgeShare: 0,
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
    nodeClass: 'default',
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

interface Scene extends Partial<Omit<SelectionRequest, 'rules'>> {
  readonly rules?: Partial<Rules>;
  readonly levels?: readonly LevelOption[];
  readonly nodes?: readonly NodeOption[];
  readonly priceOf?: PriceOf;
  readonly batch?: number;
}

function decide({
  rules: over = {},
  levels: rows = levels,
  nodes = [node('a')],
  priceOf = free,
  batch = 1,
  ...rest
}: Scene) {
  const rules = { ...open, ...over };
  const table = candidateTable({ levels: rows, nodes, quantile: rules.quantile, batch, priceOf });
  const request: SelectionRequest = { rules, budgetLeftMs: rules.budgetMs, bytes: 1000, ...rest };
  const decision = select(table, request);
  return {
    decision,
    drops: explain(table, request, decision.kind === 'serve' ? decision.chosen : undefined),
  };
}

function served(scene: Scene): Extract<Decision, { kind: 'serve' }> {
  const { decision } = decide(scene);
  if (decision.kind !== 'serve') throw new Error(`${decision.kind}: ${JSON.stringify(decision)}`);
  return decision;
}

const priced =
  (perLevel: (level: number, nodeClass: string) => Partial<Price>): PriceOf =>
  (nodeClass, level) => ({
    fixedNanoUsd: 0,
    perMsNanoUsd: 0,
    perKiBNanoUsd: 0,
    ...perLevel(level, nodeClass),
  });

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

describe('whatever the fleet', () => {
  const ms = fc.double({ min: 0.01, max: 100, noNaN: true });
  const times = fc
    .tuple(ms, ms, ms)
    .map((sample) => sample.toSorted((a, b) => a - b) as [number, number, number])
    .map(([p50Ms, p95Ms, p99Ms]) => ({ p50Ms, p95Ms, p99Ms }));
  const nodes = fc.uniqueArray(
    fc.record({
      name: fc.constantFrom('a', 'b', 'c', 'd'),
      nodeClass: fc.constantFrom('cpu', 'gpu'),
      unusable: fc.option(fc.constant('down'), { nil: undefined }),
      network: times,
      workers: fc.integer({ min: 1, max: 8 }),
      load: fc.integer({ min: 0, max: 40 }),
      serviceMs: ms,
      times: fc
        .array(fc.tuple(fc.nat(5), times), { maxLength: 6 })
        .map((entries) => new Map(entries.map(([level, t]) => [level, [{ batch: 1, ...t }]]))),
    }),
    { maxLength: 4, selector: ({ name }) => name },
  );
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  const someLevels = fc.uniqueArray(fc.nat(5), { maxLength: 6 }).chain((ids) =>
    fc.tuple(
      ...ids.map((level) =>
        fc.record({
          level: fc.constant(level),
          // Few values, so that ties come up.
          quality: fc.oneof(share, fc.constantFrom(0.8, 0.9)),
          sparsity: share,
          flops: fc.integer({ min: 1, max: 9 }),
        }),
      ),
    ),
  );
  const nano = fc.integer({ min: 0, max: 1000 });
  const prices = fc
    .dictionary(
      fc.constantFrom(...['cpu', 'gpu'].flatMap((c) => [0, 1, 2, 3, 4, 5].map((l) => `${c}${l}`))),
      fc.tuple(nano, nano, nano),
    )
    .map((entries) => scaled(entries, 1));
  const draws = fc.option(
    fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.double({ min: 0, max: 0.999, noNaN: true })),
    {
      nil: undefined,
    },
  );
  const objective: fc.Arbitrary<Rules['objective']> = fc.oneof(
    fc.constant({ kind: 'quality-first' } as const),
    fc.constant({ kind: 'cost-first' } as const),
    fc.record({
      kind: fc.constant('weighted' as const),
      nanoUsdPerQuality: fc.integer({ min: 1, max: 1e6 }),
    }),
  );
  const scene = fc.record({
    nodes,
    levels: someLevels,
    priceOf: prices,
    costBudgetNanoUsd: fc.option(fc.integer({ min: 1, max: 100_000 }), { nil: undefined }),
    budgetMs: fc.double({ min: 0.1, max: 400, noNaN: true }),
    objective,
    draws,
    refuse: fc.boolean(),
  });
  type Given = typeof scene extends fc.Arbitrary<infer T> ? T : never;

  function scaled(
    entries: Readonly<Record<string, readonly [number, number, number]>>,
    factor: number,
  ): PriceOf {
    return (nodeClass, level) => {
      const [fixed, perMs, perByte] = entries[`${nodeClass}${level}`] ?? [1, 1, 0];
      return { fixedNanoUsd: factor * fixed, perMsNanoUsd: factor * perMs, perKiBNanoUsd: factor * perByte };
    };
  }
  const dearer =
    (priceOf: PriceOf, factor: number): PriceOf =>
    (nodeClass, level) => {
      const price = priceOf(nodeClass, level);
      return {
        fixedNanoUsd: factor * price.fixedNanoUsd,
        perMsNanoUsd: factor * price.perMsNanoUsd,
        perKiBNanoUsd: factor * price.perKiBNanoUsd,
      };
    };
  const asked = ({ budgetMs, objective: goal, refuse, ...rest }: Given): Scene => ({
    ...rest,
    rules: { budgetMs, objective: goal, infeasible: refuse ? 'refuse' : 'serve-sparsest' },
  });
  const factor = fc.double({ min: 1, max: 5, noNaN: true });

  test('a larger budget of either kind never gets a worse level', () => {
    fc.assert(
      fc.property(scene, factor, factor, (given, time, money) => {
        const quality = { ...given, objective: { kind: 'quality-first' } as const };
        const large = {
          ...quality,
          budgetMs: given.budgetMs * time,
          costBudgetNanoUsd:
            given.costBudgetNanoUsd === undefined ? undefined : Math.round(given.costBudgetNanoUsd * money),
        };
        const [first, second] = [decide(asked(quality)).decision, decide(asked(large)).decision];
        if (first.kind !== 'serve' || !first.fits) return;
        expect(second).toMatchObject({ kind: 'serve', fits: true });
        if (second.kind === 'serve')
          expect(second.chosen.quality).toBeGreaterThanOrEqual(first.chosen.quality);
      }),
    );
  });

  test('prices that rise together never lead to a dearer choice, under any objective', () => {
    fc.assert(
      fc.property(scene, fc.integer({ min: 2, max: 9 }), (given, rise) => {
        const [first, second] = [
          decide(asked(given)).decision,
          decide(asked({ ...given, priceOf: dearer(given.priceOf, rise) })).decision,
        ];
        if (first.kind !== 'serve' || second.kind !== 'serve' || !first.fits || !second.fits) return;
        expect(second.chosen.costNanoUsd / rise).toBeLessThanOrEqual(first.chosen.costNanoUsd);
      }),
    );
  });

  test('a level that was not taken is not taken because its price rises', () => {
    fc.assert(
      fc.property(scene, fc.nat(5), nano, (given, level, rise) => {
        const risen: PriceOf = (nodeClass, at) => {
          const price = given.priceOf(nodeClass, at);
          return at === level ? { ...price, fixedNanoUsd: price.fixedNanoUsd + rise } : price;
        };
        const [first, second] = [
          decide(asked(given)).decision,
          decide(asked({ ...given, priceOf: risen })).decision,
        ];
        if (first.kind !== 'serve' || second.kind !== 'serve' || first.chosen.level === level) return;
        if (first.fits) expect(second.chosen.level).not.toBe(level);
      }),
    );
  });

  test('no dead node is chosen, no budget overrun by a fit, no bound left', () => {
    fc.assert(
      fc.property(scene, share, share, (given, a, b) => {
        const [minSparsity, maxSparsity] = [Math.min(a, b), Math.max(a, b)];
        const base = asked(given);
        const { decision } = decide({ ...base, rules: { ...base.rules, minSparsity, maxSparsity } });
        if (decision.kind !== 'serve') return;
        const { chosen, runnerUp, fits } = decision;
        for (const taken of runnerUp === undefined ? [chosen] : [chosen, runnerUp]) {
          expect(given.nodes.some((n) => n.name === taken.node && n.unusable === undefined)).toBe(true);
          expect(taken.sparsity).toBeGreaterThanOrEqual(minSparsity);
          expect(taken.sparsity).toBeLessThanOrEqual(maxSparsity);
          if (given.costBudgetNanoUsd !== undefined)
            expect(taken.costNanoUsd).toBeLessThanOrEqual(given.costBudgetNanoUsd);
          if (fits) expect(taken.predicted.totalMs).toBeLessThanOrEqual(given.budgetMs);
        }
        expect(runnerUp).not.toEqual(chosen);
        if (!fits) expect(given.refuse).toBe(false);
      }),
    );
  });

  test('a choice without draws is the best there is by the objective, by trying all', () => {
    fc.assert(
      fc.property(scene, (given) => {
        const { decision } = decide(asked({ ...given, draws: undefined }));
        if (decision.kind !== 'serve' || !decision.fits) return;
        const rate = given.objective.kind === 'weighted' ? given.objective.nanoUsdPerQuality : 0;
        const all = given.nodes
          .filter((n) => n.unusable === undefined)
          .flatMap((n) =>
            given.levels.map(({ level }) => ({ ...asked(given), nodes: [n], pinnedLevel: level })),
          )
          .flatMap((alone) => {
            const one = decide(alone).decision;
            return one.kind === 'serve' && one.fits ? [one.chosen] : [];
          });
        const { chosen } = decision;
        for (const other of all) {
          if (given.objective.kind === 'quality-first')
            expect(chosen.quality).toBeGreaterThanOrEqual(other.quality);
          else if (given.objective.kind === 'cost-first')
            expect(chosen.costNanoUsd).toBeLessThanOrEqual(other.costNanoUsd);
          else
            expect(chosen.quality * rate - chosen.costNanoUsd).toBeGreaterThanOrEqual(
              other.quality * rate - other.costNanoUsd - 1e-6,
            );
        }
      }),
    );
  });

  test('the runner-up is what is taken without the chosen one', () => {
    fc.assert(
      fc.property(scene, (given) => {
        const { decision } = decide(asked({ ...given, draws: undefined }));
        if (decision.kind !== 'serve') return;
        const { chosen, runnerUp, fits } = decision;
        const rest = given.nodes.map((n) =>
          n.name === chosen.node
            ? { ...n, times: new Map([...n.times].filter(([level]) => level !== chosen.level)) }
            : n,
        );
        const without = decide(asked({ ...given, nodes: rest, draws: undefined })).decision;
        if (runnerUp !== undefined) expect(without).toMatchObject({ kind: 'serve', fits, chosen: runnerUp });
        else if (without.kind === 'serve') expect(without.fits).toBe(!fits);
      }),
    );
  });

  test('the order of nodes and levels does not matter, and asking again gives the same', () => {
    fc.assert(
      fc.property(scene, (given) => {
        const turned = { ...given, nodes: given.nodes.toReversed(), levels: given.levels.toReversed() };
        expect(decide(asked(turned)).decision).toEqual(decide(asked(given)).decision);
      }),
    );
  });
});
