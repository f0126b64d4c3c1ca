import { describe, expect, test } from 'vitest';
import { defaultPolicy, policySchema, rulesFor } from './policy.ts';

const key = 'key_0123456789abcdef';
const document = (over: Record<string, unknown>) => ({ ...defaultPolicy, ...over });
const faults = (over: Record<string, unknown>) =>
  policySchema.safeParse(document(over)).error?.issues.map(({ path }) => path.join('.')) ?? [];

describe('a policy', () => {
  test('of schema version 1 is read as what it always meant', () => {
    const first = {
      schemaVersion: 1,
      quantile: 0.99,
      defaultLatencyBudgetMs: 100,
      reserveMs: 0.5,
      infeasible: 'serve-sparsest',
      tiers: defaultPolicy.tiers,
    };
    expect(policySchema.parse(first)).toEqual(defaultPolicy);
  });

  test.each<[string, Record<string, unknown>, string[]]>([
    ['a field that nobody knows', { surprise: 1 }, ['']],
    ['one within a class', { classes: [{ name: 'gold', surprise: 1 }] }, ['classes.0']],
    ['a default budget above the most', { maxLatencyBudgetMs: 50 }, ['defaultLatencyBudgetMs']],
    [
      'a class whose least exceeds its most',
      {
        classes: [{ name: 'gold', minLatencyBudgetMs: 10, maxLatencyBudgetMs: 5, defaultLatencyBudgetMs: 7 }],
      },
      [
        'classes.0.minLatencyBudgetMs',
        'classes.0.defaultLatencyBudgetMs',
        'classes.0.defaultLatencyBudgetMs',
      ],
    ],
    [
      'a reserve that takes all of every budget',
      { maxLatencyBudgetMs: 100, reserveMs: 100, tiers: [] },
      ['reserveMs', 'reserveMs'],
    ],
    ['a reserve that takes all of the default budget', { reserveMs: 100, tiers: [] }, ['reserveMs']],
    ['a reserve that takes all of a tier', { tiers: [{ name: 'a', upToMs: 0.5 }] }, ['tiers.0.upToMs']],
    [
      'tiers that do not ascend',
      {
        tiers: [
          { name: 'a', upToMs: 10 },
          { name: 'b', upToMs: 10 },
        ],
      },
      ['tiers.1.upToMs'],
    ],
    [
      'two tiers of one name',
      {
        tiers: [
          { name: 'a', upToMs: 10 },
          { name: 'a', upToMs: 20 },
        ],
      },
      ['tiers.1.name'],
    ],
    [
      'a tier below the least budget',
      { minLatencyBudgetMs: 20, tiers: [{ name: 'a', upToMs: 10 }] },
      ['tiers.0.upToMs'],
    ],
    [
      'a tier above the most budget',
      {
        maxLatencyBudgetMs: 100,
        tiers: [
          { name: 'a', upToMs: 100 },
          { name: 'b', upToMs: 200 },
        ],
      },
      ['tiers.1.upToMs'],
    ],
    [
      'a tier that sells a sparser model for a larger budget',
      {
        tiers: [
          { name: 'a', upToMs: 10 },
          { name: 'b', upToMs: 20, minSparsity: 0.5 },
        ],
      },
      ['tiers.1.minSparsity'],
    ],
    [
      'a tier outside of the bounds',
      { maxSparsity: 0.5, tiers: [{ name: 'a', upToMs: 10, minSparsity: 0.6 }] },
      ['tiers.0.minSparsity'],
    ],
    ['a default class that is not there', { defaultClass: 'gold' }, ['defaultClass']],
    ['two classes of one name', { classes: [{ name: 'gold' }, { name: 'gold' }] }, ['classes.1.name']],
    ['an override for what is no key', { overrides: [{ key: 'shop' }] }, ['overrides.0.key']],
    [
      'an override with a class that is not there',
      { overrides: [{ key, defaultClass: 'gold' }] },
      ['overrides.0.defaultClass'],
    ],
    [
      'an override at odds with a class it meets',
      {
        classes: [{ name: 'gold', minLatencyBudgetMs: 50 }],
        overrides: [{ key, defaultLatencyBudgetMs: 20 }],
      },
      ['overrides.0.defaultLatencyBudgetMs'],
    ],
    [
      'a price that an earlier one covers',
      { prices: [{ fixedNanoUsd: 1 }, { level: 3, fixedNanoUsd: 2 }] },
      ['prices.1'],
    ],
    ['a price that is no integer', { prices: [{ fixedNanoUsd: 0.5 }] }, ['prices.0.fixedNanoUsd']],
    [
      'a canary of a version against itself',
      { canary: { kind: 'artifact', model: 'm', baseline: 'v1', candidate: 'v1', share: 0.1 } },
      ['canary.candidate'],
    ],
  ])('with %s is refused, with the path of the fault', (_, over, paths) => {
    expect(faults(over)).toEqual(paths);
  });

  test('may hold specific prices before general ones', () => {
    expect(
      faults({ prices: [{ level: 3, fixedNanoUsd: 2 }, { nodeClass: 'gpu' }, { fixedNanoUsd: 1 }] }),
    ).toEqual([]);
  });
});

describe('the rules of a request', () => {
  const policy = policySchema.parse(
    document({
      quantile: 0.9,
      shedAbove: 4,
      classes: [{ name: 'gold', quantile: 0.99, shedAbove: null, tiers: [] }],
      defaultClass: 'gold',
      overrides: [{ key, quantile: 0.5, infeasible: 'refuse' }],
    }),
  );

  test('are those of the document, changed by its class, changed by its key', () => {
    expect(rulesFor(policy, null)).toMatchObject({ quantile: 0.9, shedAbove: 4, tiers: policy.tiers });
    expect(rulesFor(policy, 'gold')).toMatchObject({ quantile: 0.99, shedAbove: null, tiers: [] });
    expect(rulesFor(policy, 'gold', key)).toMatchObject({
      quantile: 0.5,
      infeasible: 'refuse',
      shedAbove: null,
    });
    expect(rulesFor(policy, 'gold', key)).not.toHaveProperty('classes');
    expect(rulesFor(policy, 'silver', key)).toBeUndefined();
  });
});
