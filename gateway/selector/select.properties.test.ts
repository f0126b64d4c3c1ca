import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PriceOf } from './candidates.ts';
import type { Rules } from './rules.ts';
import { stretchOf } from './scan.ts';
import { decide, type Scene } from './scene.fixture.ts';
import type { SelectionRequest } from './selection-request.ts';

describe('whatever the fleet', () => {
  /** Even in its range: doubles would mostly be next to its ends, and fleets alike. */
  const part = (parts: number, most: number, least = 0) =>
    fc.integer({ min: least, max: most }).map((count) => count / parts);
  const ms = part(4, 400, 1);
  const times = fc
    .tuple(ms, ms, ms)
    .map((sample) => sample.toSorted((a, b) => a - b) as [number, number, number])
    .map(([p50Ms, p95Ms, p99Ms]) => ({ p50Ms, p95Ms, p99Ms }));
  const nodes = fc.uniqueArray(
    fc.record({
      name: fc.constantFrom('a', 'b', 'c', 'd'),
      nodeClass: fc.constantFrom('cpu', 'gpu'),
      unusable: fc.constantFrom(undefined, undefined, undefined, undefined, 'down'),
      network: fc
        .uniqueArray(fc.tuple(fc.nat(3000), times), { maxLength: 4, selector: ([bytes]) => bytes })
        .map((known) => known.toSorted(([a], [b]) => a - b).map(([bytes, t]) => ({ bytes, ...t }))),
      workers: fc.integer({ min: 1, max: 8 }),
      load: fc.integer({ min: 0, max: 40 }),
      serviceMs: ms,
      // Some levels may be missing.
      times: fc
        .array(fc.option(times), { minLength: 6, maxLength: 6 })
        .map(
          (entries) =>
            new Map(entries.flatMap((t, level) => (t === null ? [] : [[level, [{ batch: 1, ...t }]]]))),
        ),
    }),
    { minLength: 1, maxLength: 4, size: 'max', selector: ({ name }) => name },
  );
  const share = part(100, 100);
  const someLevels = fc.uniqueArray(fc.nat(5), { minLength: 1, maxLength: 6, size: 'max' }).chain((ids) =>
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
  const draws = fc.option(fc.tuple(part(1000, 999), part(1000, 999)), { nil: undefined });
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
    budgetMs: part(4, 1600, 1),
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
  const factor = part(8, 40, 8);

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
        fc.pre(first.kind === 'serve' && first.fits);
        expect(second).toMatchObject({ kind: 'serve', fits: true });
        if (second.kind === 'serve')
          expect(second.chosen.quality).toBeGreaterThanOrEqual(first.chosen.quality);
      }),
    );
  });

  test('a larger body never gets a better level', () => {
    fc.assert(
      fc.property(scene, fc.nat(4000), fc.nat(4000), (given, a, b) => {
        const quality = asked({ ...given, objective: { kind: 'quality-first' } as const });
        const at = (hopBytes: number) => decide({ ...quality, hopBytes }).decision;
        const [small, large] = [at(Math.min(a, b)), at(Math.max(a, b))];
        fc.pre(large.kind === 'serve' && large.fits);
        expect(small).toMatchObject({ kind: 'serve', fits: true });
        if (small.kind === 'serve') expect(small.chosen.quality).toBeGreaterThanOrEqual(large.chosen.quality);
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
        fc.pre(first.kind === 'serve' && second.kind === 'serve' && first.fits && second.fits);
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
        fc.pre(
          first.kind === 'serve' && second.kind === 'serve' && first.fits && first.chosen.level !== level,
        );
        expect(second.chosen.level).not.toBe(level);
      }),
    );
  });

  test('no dead node is chosen, no budget overrun by a fit, no bound left', () => {
    fc.assert(
      fc.property(scene, share, share, (given, a, b) => {
        const [minSparsity, maxSparsity] = [Math.min(a, b), Math.max(a, b)];
        const base = asked(given);
        const { decision } = decide({ ...base, rules: { ...base.rules, minSparsity, maxSparsity } });
        fc.pre(decision.kind === 'serve');
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
        fc.pre(decision.kind === 'serve' && decision.fits);
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

  test('what nothing is in time for is told of the sparsest that can be paid, where it is soonest, by trying all', () => {
    fc.assert(
      fc.property(scene, (given) => {
        const base = asked({ ...given, refuse: true });
        const hurried: Scene = { ...base, budgetLeftMs: 0 };
        const { decision } = decide(hurried);
        fc.pre(decision.kind === 'infeasible' && decision.by === 'latency' && decision.nearest !== undefined);
        const { nearest, nearestNext } = decision;
        const others = given.nodes
          .flatMap((n) => given.levels.map(({ level }) => ({ ...hurried, nodes: [n], pinnedLevel: level })))
          .flatMap((alone) => {
            const one = decide(alone).decision;
            return one.kind === 'infeasible' && one.by === 'latency' && one.nearest !== undefined
              ? [one.nearest]
              : [];
          })
          .toSorted((a, b) => b.sparsity - a.sparsity || a.predicted.totalMs - b.predicted.totalMs);
        for (const [told, tried] of [
          [nearest, others[0]],
          [nearestNext, others[1]],
        ]) {
          expect(told?.sparsity).toBe(tried?.sparsity);
          expect(told?.predicted.totalMs).toBe(tried?.predicted.totalMs);
        }
      }),
    );
  });

  test('the runner-up is what is taken without the chosen one', () => {
    fc.assert(
      fc.property(scene, (given) => {
        const { decision } = decide(asked({ ...given, draws: undefined }));
        fc.pre(decision.kind === 'serve');
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

  const pressures = part(8, 32);

  test('a busy fleet takes no better level than a calm one, and refuses nothing more', () => {
    fc.assert(
      fc.property(scene, pressures, (given, pressure) => {
        const quality = { ...given, objective: { kind: 'quality-first' } as const };
        const calm = decide(asked(quality)).decision;
        const busy = decide({ ...asked(quality), pressure }).decision;
        expect(busy.kind).toBe(calm.kind);
        fc.pre(calm.kind === 'serve' && busy.kind === 'serve');
        expect(busy.fits).toBe(calm.fits);
        if (busy.fits) expect(busy.chosen.quality).toBeLessThanOrEqual(calm.chosen.quality);
      }),
    );
  });

  /** All budgets of either kind at which what is decided can change, the least first. */
  function turns(given: Given, pressure: number): { budgets: number[]; costs: number[] } {
    const wide = { ...given, budgetMs: 1e9, costBudgetNanoUsd: undefined };
    const stretch = stretchOf({ ...asked(wide), pressure } as SelectionRequest);
    const chosen = given.nodes
      .flatMap((n) =>
        given.levels.map(({ level }) => decide({ ...asked(wide), nodes: [n], pinnedLevel: level }).decision),
      )
      .flatMap((decision) => (decision.kind === 'serve' ? [decision.chosen] : []));
    const sorted = (values: readonly number[]) => [...new Set(values)].toSorted((a, b) => a - b);
    return {
      budgets: sorted(
        chosen
          .flatMap(({ predicted: { totalMs, executeMs } }) => [totalMs, totalMs + (stretch - 1) * executeMs])
          .flatMap((ms) => [ms, ms * (1 + 1e-9)]),
      ),
      costs: sorted(chosen.map(({ costNanoUsd }) => costNanoUsd)),
    };
  }

  test('in a busy fleet, too, a larger budget of either kind, or of both, never gets a worse level', () => {
    fc.assert(
      fc.property(scene, pressures, (given, pressure) => {
        const quality = { ...given, objective: { kind: 'quality-first' } as const };
        const { budgets, costs } = turns(quality, pressure);
        // By place in `budgets`: the best that any smaller cost budget got there, or at less time.
        const atLess: (number | undefined)[] = budgets.map(() => undefined);
        for (const costBudgetNanoUsd of [...costs, undefined]) {
          let best: number | undefined;
          for (const [place, budgetMs] of budgets.entries()) {
            const { decision } = decide({ ...asked({ ...quality, budgetMs, costBudgetNanoUsd }), pressure });
            const fits = decision.kind === 'serve' && decision.fits;
            const before = atLess[place];
            if (before !== undefined) best = Math.max(best ?? 0, before);
            if (best !== undefined) expect(fits).toBe(true);
            if (!fits) continue;
            expect(decision.chosen.quality).toBeGreaterThanOrEqual(best ?? 0);
            best = decision.chosen.quality;
            atLess[place] = best;
          }
        }
      }),
    );
  });
});
