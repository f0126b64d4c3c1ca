/** What a policy must fulfil beyond its shape: nothing in it may be there without ever taking effect. */
import type { Policy, PolicyPrice } from '../policy.ts';
import { type ChangedRules, changedBy, type PolicyRules } from './rules.ts';

export interface PolicyFault {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

export function checkPolicy(policy: Policy): PolicyFault[] {
  const names = new Set(policy.classes.map(({ name }) => name));
  const bases: PolicyRules[] = [policy, ...policy.classes.map((slaClass) => changedBy(policy, slaClass))];
  const unknownClass = (path: PolicyFault['path'], name: string | null | undefined): PolicyFault[] =>
    name == null || names.has(name) ? [] : [{ path, message: `there is no class ${JSON.stringify(name)}` }];
  return [
    ...rulesFaults(policy, policy, []),
    ...policy.classes.flatMap((slaClass, index) =>
      rulesFaults(changedBy(policy, slaClass), slaClass, ['classes', index]),
    ),
    ...twice(policy.classes, ({ name }) => name, 'classes', 'name'),
    ...unknownClass(['defaultClass'], policy.defaultClass),
    ...policy.overrides.flatMap((override, index) => [
      ...unknownClass(['overrides', index, 'defaultClass'], override.defaultClass),
      ...overrideFaults(bases, override, ['overrides', index]),
    ]),
    ...twice(policy.overrides, ({ key }) => key, 'overrides', 'key'),
    ...policy.prices.flatMap((price, index) => {
      const earlier = policy.prices.slice(0, index).findIndex((other) => covers(other, price));
      return earlier < 0
        ? []
        : [
            {
              path: ['prices', index],
              message: `never applies: prices[${earlier}] comes first and covers it`,
            },
          ];
    }),
    ...(policy.canary?.kind === 'artifact' && policy.canary.baseline === policy.canary.candidate
      ? [{ path: ['canary', 'candidate'], message: 'is the baseline: there is nothing to compare' }]
      : []),
  ];
}

/**
 * An override meets every class, so its faults are looked for in each; one report of a fault is enough.
 * @param bases the rules of no class and of each, worked out once: a document may have a thousand overrides
 */
function overrideFaults(
  bases: readonly PolicyRules[],
  override: ChangedRules,
  path: PolicyFault['path'],
): PolicyFault[] {
  const faults = bases.flatMap((base) => rulesFaults(changedBy(base, override), override, path));
  return [...new Map(faults.map((fault) => [`${fault.path.join('.')} ${fault.message}`, fault])).values()];
}

/**
 * @param rules as they come to hold
 * @param stated those that stand at `path`: a fault between two rules is reported at one that stands there
 */
function rulesFaults(rules: PolicyRules, stated: ChangedRules, path: PolicyFault['path']): PolicyFault[] {
  const pairs = [
    [
      'minLatencyBudgetMs',
      'maxLatencyBudgetMs',
      rules.minLatencyBudgetMs > rules.maxLatencyBudgetMs,
      'minLatencyBudgetMs is above maxLatencyBudgetMs: no request can match',
    ],
    [
      'defaultLatencyBudgetMs',
      'minLatencyBudgetMs',
      rules.defaultLatencyBudgetMs < rules.minLatencyBudgetMs,
      'defaultLatencyBudgetMs is below minLatencyBudgetMs: requests without a budget would be refused',
    ],
    [
      'defaultLatencyBudgetMs',
      'maxLatencyBudgetMs',
      rules.defaultLatencyBudgetMs > rules.maxLatencyBudgetMs,
      'defaultLatencyBudgetMs is above maxLatencyBudgetMs',
    ],
    [
      'reserveMs',
      'maxLatencyBudgetMs',
      rules.reserveMs >= rules.maxLatencyBudgetMs,
      'reserveMs leaves nothing of the largest budget: no level can fit',
    ],
    [
      'reserveMs',
      'defaultLatencyBudgetMs',
      rules.reserveMs >= rules.defaultLatencyBudgetMs,
      'reserveMs leaves nothing of defaultLatencyBudgetMs: no level can fit a request without a budget',
    ],
    [
      'defaultCostBudgetNanoUsd',
      'maxCostBudgetNanoUsd',
      (rules.defaultCostBudgetNanoUsd ?? 0) > (rules.maxCostBudgetNanoUsd ?? Number.POSITIVE_INFINITY),
      'defaultCostBudgetNanoUsd is above maxCostBudgetNanoUsd',
    ],
    [
      'minSparsity',
      'maxSparsity',
      rules.minSparsity > rules.maxSparsity,
      'minSparsity is above maxSparsity: no level can match',
    ],
  ] as const;
  const faults = pairs.flatMap(([first, second, wrong, message]) => {
    const at = stated[first] === undefined ? second : first;
    return wrong && stated[at] !== undefined ? [{ path: [...path, at], message }] : [];
  });
  const tiersHere = stated.tiers !== undefined;
  return tiersHere ? [...faults, ...tierFaults(rules, [...path, 'tiers'])] : faults;
}

function tierFaults(rules: PolicyRules, path: PolicyFault['path']): PolicyFault[] {
  return rules.tiers.flatMap((tier, index) => {
    const below = rules.tiers[index - 1];
    const fault = (field: string, message: string, wrong: boolean): PolicyFault[] =>
      wrong ? [{ path: [...path, index, field], message }] : [];
    return [
      ...fault(
        'name',
        `${JSON.stringify(tier.name)} stands here twice: explanations could not tell them apart`,
        rules.tiers.slice(0, index).some(({ name }) => name === tier.name),
      ),
      ...fault('upToMs', 'tiers must ascend by upToMs', below !== undefined && below.upToMs >= tier.upToMs),
      ...fault(
        'upToMs',
        'is below minLatencyBudgetMs: the tier can match no request',
        tier.upToMs < rules.minLatencyBudgetMs,
      ),
      ...fault(
        'upToMs',
        'the tier below takes every budget up to maxLatencyBudgetMs: this one can match no request',
        below !== undefined && below.upToMs >= rules.maxLatencyBudgetMs,
      ),
      ...fault(
        'upToMs',
        'reserveMs leaves nothing of these budgets: no level can fit',
        tier.upToMs <= rules.reserveMs,
      ),
      ...fault(
        'minSparsity',
        'is above maxSparsity: the tier can match no level',
        tier.minSparsity > tier.maxSparsity,
      ),
      ...fault(
        'minSparsity',
        'is above that of the tier below: a larger budget would get a sparser model',
        below !== undefined && tier.minSparsity > below.minSparsity,
      ),
      ...fault(
        'minSparsity',
        'and the bounds outside of the tiers leave no level between them',
        Math.max(tier.minSparsity, rules.minSparsity) > Math.min(tier.maxSparsity, rules.maxSparsity) &&
          tier.minSparsity <= tier.maxSparsity &&
          rules.minSparsity <= rules.maxSparsity,
      ),
    ];
  });
}

function twice<T>(
  entries: readonly T[],
  keyOf: (entry: T) => string,
  list: string,
  field: string,
): PolicyFault[] {
  const seen = new Set<string>();
  return entries.flatMap((entry, index) => {
    const key = keyOf(entry);
    if (!seen.has(key)) {
      seen.add(key);
      return [];
    }
    return [{ path: [list, index, field], message: `${JSON.stringify(key)} stands here twice` }];
  });
}

/** Whether all that `price` matches is matched by `earlier`. */
function covers(earlier: PolicyPrice, price: PolicyPrice): boolean {
  const within = (a: string | number, b: string | number) => a === '*' || a === b;
  return (
    within(earlier.nodeClass, price.nodeClass) &&
    within(earlier.model, price.model) &&
    within(earlier.level, price.level)
  );
}
