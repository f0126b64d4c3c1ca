import { describe, expect, test } from 'vitest';
import { defaultPolicy, policySchema } from '../../schema/policy.ts';
import { holdAgainst, type Surroundings } from './applicability.ts';

const key = 'key_0123456789abcdef';
const levels = [0, 1, 2].map((level) => ({
  level,
  quality: 0.7 + level / 10,
  sparsity: 0.8 - 0.4 * level,
  flops: level + 1,
}));
const around: Surroundings = {
  models: new Map([['m', new Map([['v1', levels]])]]),
  activeVersions: new Map([['m', 'v1']]),
  keyIds: new Set([key]),
  revokedKeys: new Set(),
  boundKeys: [],
  nodeClasses: new Set(['gpu', 'cpu']),
  versions: new Map([[1, defaultPolicy]]),
};
const held = (over: object, where: Surroundings = around) =>
  holdAgainst(policySchema.parse({ ...defaultPolicy, tiers: [], ...over }), where);
const errors = (over: object, where?: Surroundings) => held(over, where).errors.map(({ path }) => path);
const warnings = (over: object, where?: Surroundings) => held(over, where).warnings.map(({ path }) => path);

describe('a policy held against what there is', () => {
  test('is fine as it comes', () => {
    expect(holdAgainst(defaultPolicy, around)).toEqual({ errors: [], warnings: [] });
  });

  test.each<[string, object, string[]]>([
    ['all of it', { minQuality: 0.95 }, ['']],
    ['a class', { classes: [{ name: 'gold', minSparsity: 0.9 }] }, ['classes[0]']],
    ['an override', { overrides: [{ key, minQuality: 1 }] }, ['overrides[0]']],
    [
      'what may be paid',
      { maxCostBudgetNanoUsd: 9, prices: [{ nodeClass: 'gpu', fixedNanoUsd: 20 }, { fixedNanoUsd: 10 }] },
      [''],
    ],
    // The least that any request costs: a body of a KiB at most, and a millisecond.
    ['the least body', { maxCostBudgetNanoUsd: 9, prices: [{ fixedNanoUsd: 5, perKiBNanoUsd: 5 }] }, ['']],
    ['the least time', { maxCostBudgetNanoUsd: 9, prices: [{ fixedNanoUsd: 5, perMsNanoUsd: 5 }] }, ['']],
  ])('is refused when %s can match nothing', (_, over, paths) => {
    expect(errors(over)).toEqual(paths);
  });

  test('with a tier that can match nothing comes with a warning', () => {
    const tiers = [{ name: 'none', upToMs: 50, minSparsity: 0.9, maxSparsity: 1 }];
    expect(errors({ tiers })).toEqual([]);
    expect(warnings({ tiers })).toEqual(['tiers[0]']);
    expect(errors({ tiers, maxLatencyBudgetMs: 50, defaultLatencyBudgetMs: 50 })).toEqual(['']);
  });

  test('is refused when only a tier could match whose budgets no request of the class has', () => {
    const tiers = [
      { name: 'tight', upToMs: 25, minSparsity: 0.5 },
      { name: 'loose', upToMs: 5000, minSparsity: 0.1, maxSparsity: 0.3 },
    ];
    const all = { tiers, maxLatencyBudgetMs: 5000, defaultLatencyBudgetMs: 20 };
    const slow = { name: 'slow', minLatencyBudgetMs: 200, defaultLatencyBudgetMs: 500 };
    expect(errors({ ...all, classes: [slow] })).toEqual(['classes[0]']);
    const turned = [
      { ...tiers[0], minSparsity: 0.1, maxSparsity: 0.3 },
      { ...tiers[1], maxSparsity: 1 },
    ];
    const quick = { name: 'quick', maxLatencyBudgetMs: 25 };
    expect(errors({ ...all, tiers: turned, classes: [quick] })).toEqual(['classes[0]']);
    const classes = [{ ...slow, maxSparsity: 0.9 }];
    expect(warnings({ ...all, tiers: turned, classes })).toEqual(['tiers[0]']);
  });

  test('is refused when only a version could match that no request goes to', () => {
    const older = levels.map((level) => ({ ...level, quality: level.quality + 0.08 }));
    const models = new Map([['m', new Map([['v0', older], ...(around.models.get('m') ?? [])])]]);
    const where = { ...around, models };
    expect(errors({ minQuality: 0.95 }, where)).toEqual(['']);
    expect(errors({ minQuality: 0.95 }, { ...where, activeVersions: new Map([['m', 'v0']]) })).toEqual([]);
    const canary = { kind: 'artifact', model: 'm', baseline: 'v1', candidate: 'v0', share: 0.5 };
    const told = held({ minQuality: 0.95, canary }, where);
    expect(told.errors).toEqual([]);
    expect(told.warnings).toEqual([{ path: '', message: 'no level of m/v1 matches' }]);
  });

  test('is refused when no node that there is serves a level for as little as it may cost', () => {
    const over = { maxCostBudgetNanoUsd: 9, prices: [{ nodeClass: 'gpu', fixedNanoUsd: 10 }] };
    expect(errors(over)).toEqual([]);
    expect(errors(over, { ...around, nodeClasses: new Set(['gpu']) })).toEqual(['']);
    expect(errors(over, { ...around, nodeClasses: new Set() })).toEqual([]);
  });

  test('looks at a price as often for a thousand sets of rules as for one: a large document would hold up all others', () => {
    let looks = 0;
    const policy = (overrides: number) => {
      const parsed = policySchema.parse({
        ...defaultPolicy,
        maxCostBudgetNanoUsd: 9,
        prices: [{ nodeClass: 'gpu', fixedNanoUsd: 10 }],
        overrides: Array.from({ length: overrides }, (_, i) => ({
          key: `key_${i.toString(16).padStart(16, '0')}`,
          reserveMs: 1,
        })),
      });
      const counted = (price: (typeof parsed.prices)[number]) => ({
        ...price,
        get level() {
          looks++;
          return price.level;
        },
      });
      return { ...parsed, prices: parsed.prices.map(counted) };
    };
    const looksFor = (overrides: number) => {
      const document = policy(overrides);
      looks = 0;
      holdAgainst(document, { ...around, keyIds: new Set(document.overrides.map((entry) => entry.key)) });
      return looks;
    };
    expect(looksFor(1000)).toBe(looksFor(1));
  });

  test('holds an override against the class that its key is in', () => {
    const classes = [{ name: 'iron' }, { name: 'gold', minQuality: 0.85 }];
    const overrides = [{ key, minSparsity: 0.7 }];
    const bound = (...names: string[]) => ({ ...around, boundKeys: [{ id: key, classes: names }] });
    expect(errors({ classes, overrides })).toEqual([]);
    expect(errors({ classes, overrides }, bound('gold'))).toEqual(['overrides[0]']);
    expect(errors({ classes, overrides }, bound('iron', 'gold'))).toEqual([]);
  });

  test('is warned of overrides that no request meets', () => {
    const classes = [{ name: 'iron' }, { name: 'gold' }];
    const overrides = [{ key, defaultClass: 'iron' }];
    expect(warnings({ classes, overrides })).toEqual([]);
    expect(warnings({ classes, overrides }, { ...around, revokedKeys: new Set([key]) })).toEqual([
      'overrides[0].key',
    ]);
    const boundKeys = [{ id: key, classes: ['gold'] }];
    expect(warnings({ classes, overrides }, { ...around, boundKeys })).toEqual(['overrides[0].defaultClass']);
  });

  test('that would govern no request is refused, and told of a side of a canary that gets none', () => {
    const policy = (share: number) => ({ canary: { kind: 'policy', baseline: 1, share } });
    expect(errors(policy(0))).toEqual(['canary.share']);
    expect([errors(policy(1)), warnings(policy(1))]).toEqual([[], ['canary.baseline']]);
    const models = new Map([['m', new Map(['v1', 'v2'].map((version) => [version, levels]))]]);
    const artifact = (share: number) =>
      held(
        { canary: { kind: 'artifact', model: 'm', baseline: 'v1', candidate: 'v2', share } },
        { ...around, models },
      );
    expect(artifact(0.5)).toEqual({ errors: [], warnings: [] });
    expect(artifact(0).warnings.map(({ path }) => path)).toEqual(['canary.candidate']);
    expect(artifact(1).warnings.map(({ path }) => path)).toEqual(['canary.baseline']);
  });

  test('counts a price that some class of nodes does not ask', () => {
    const prices = [
      { nodeClass: 'gpu', fixedNanoUsd: 20 },
      { nodeClass: 'cpu', fixedNanoUsd: 5 },
      { fixedNanoUsd: 30 },
    ];
    expect(errors({ maxCostBudgetNanoUsd: 9, prices })).toEqual([]);
  });

  test.each<[string, object, string[]]>([
    ['a key', { overrides: [{ key: 'key_ffffffffffffffff' }] }, ['overrides[0].key']],
    ['a policy version', { canary: { kind: 'policy', baseline: 7, share: 0.5 } }, ['canary.baseline']],
    [
      'a model',
      { canary: { kind: 'artifact', model: 'x', baseline: 'v1', candidate: 'v2', share: 0.5 } },
      ['canary.model'],
    ],
    [
      'an artifact version',
      { canary: { kind: 'artifact', model: 'm', baseline: 'v1', candidate: 'v2', share: 0.5 } },
      ['canary.candidate'],
    ],
  ])('is refused when it names %s that is not there', (_, over, paths) => {
    expect(errors(over)).toEqual(paths);
  });

  test('cannot be a canary beside another canary', () => {
    const canary = { kind: 'policy', baseline: 1, share: 0.5 } as const;
    const versions = new Map([[1, { ...defaultPolicy, canary }]]);
    expect(errors({ canary }, { ...around, versions })).toEqual(['canary.baseline']);
    expect(errors({ canary })).toEqual([]);
  });

  test.each([
    ['v1', 'v0', []],
    ['v1', 'v7', ['canary.baseline']],
    ['v8', 'v7', ['canary.baseline', 'canary.baseline']],
  ])('beside a canary of %s and %s is held to what there is of them', (baseline, candidate, paths) => {
    const artifacts = { kind: 'artifact', model: 'm', baseline, candidate, share: 0.5 } as const;
    const versions = new Map([[1, { ...defaultPolicy, canary: artifacts }]]);
    const levels = [...(around.models.get('m')?.values() ?? [])][0] ?? [];
    const models = new Map([['m', new Map(['v0', 'v1'].map((version) => [version, levels]))]]);
    const canary = { kind: 'policy', baseline: 1, share: 0.5 } as const;
    expect(errors({ canary }, { ...around, versions, models })).toEqual(paths);
  });

  test('is warned of classes that only one of two policies has', () => {
    const baseline = policySchema.parse({
      ...defaultPolicy,
      classes: [{ name: 'silver' }, { name: 'gold' }],
    });
    const versions = new Map([[1, baseline]]);
    const canary = { kind: 'policy', baseline: 1, share: 0.5 };
    const over = { canary, classes: [{ name: 'gold' }, { name: 'bronze' }] };
    const { errors: faults, warnings: told } = held(over, { ...around, versions });
    expect(faults).toEqual([]);
    expect(told.map(({ path }) => path)).toEqual(['classes[1]', 'canary.baseline']);
    expect(held({ canary, classes: baseline.classes }, { ...around, versions }).warnings).toEqual([]);
  });

  test('is warned of prices that nothing has', () => {
    const prices = [
      { model: 'x', fixedNanoUsd: 1 },
      { level: 9, fixedNanoUsd: 1 },
    ];
    expect(warnings({ prices })).toEqual(['prices[0].model', 'prices[1].level']);
  });

  test('is refused when no level costs as little as a request that names no cost budget may', () => {
    const prices = [{ level: 0, fixedNanoUsd: 10 }, { fixedNanoUsd: 20 }];
    expect(errors({ prices, defaultCostBudgetNanoUsd: 10 })).toEqual([]);
    expect(errors({ prices, defaultCostBudgetNanoUsd: 9 })).toEqual(['']);
    expect(errors({ prices, defaultCostBudgetNanoUsd: 10, maxSparsity: 0.5 })).toEqual(['']);
    const classes = [{ name: 'gold', defaultCostBudgetNanoUsd: 9 }];
    expect(errors({ prices, defaultCostBudgetNanoUsd: 10, classes })).toEqual(['classes[0]']);
  });

  test('is warned of prices for a class of nodes that is not there, which would be free', () => {
    const prices = [
      { nodeClass: 'gpu', fixedNanoUsd: 1 },
      { nodeClass: 'gpus', fixedNanoUsd: 1 },
    ];
    expect(warnings({ prices })).toEqual(['prices[1].nodeClass']);
    expect(warnings({ prices }, { ...around, nodeClasses: new Set() })).toEqual([]);
  });

  test('is warned of keys that may use none of its classes', () => {
    const boundKeys = [
      { id: 'key_1', classes: ['gold', 'silver'] },
      { id: 'key_2', classes: ['silver'] },
    ];
    const told = (names: readonly string[]) =>
      held({ classes: names.map((name) => ({ name })) }, { ...around, boundKeys }).warnings;
    expect(told(['silver'])).toEqual([]);
    expect(told(['gold'])).toEqual([{ path: 'classes', message: expect.stringContaining('key_2 may use') }]);
    expect(told([])).toEqual([{ path: 'classes', message: expect.stringContaining('key_1, key_2') }]);
  });

  test('before any model is there can be anything', () => {
    expect(errors({ minQuality: 1 }, { ...around, models: new Map() })).toEqual([]);
  });
});
