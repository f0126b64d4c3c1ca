/**
 * Holds a policy against what there is: models and their levels, keys, earlier versions. What can match nothing is a
 * fault, what can match nothing in some cases a warning; neither is left for requests to find out.
 */
import type { Policy, PolicyRules } from '../../schema/policy.ts';
import { rulesFor } from '../../schema/policy.ts';
import { costNanoUsd, type LevelOption } from '../selector/candidates.ts';
import { priceList } from './prices.ts';

/** What a policy is held against. */
export interface Surroundings {
  /** By model and artifact version. */
  readonly models: ReadonlyMap<string, ReadonlyMap<string, readonly LevelOption[]>>;
  readonly keyIds: ReadonlySet<string>;
  /** Keys that may use some classes only. */
  readonly boundKeys: readonly { readonly id: string; readonly classes: readonly string[] }[];
  /** Of the nodes that there are. */
  readonly nodeClasses: ReadonlySet<string>;
  /** Documents of the versions before, as far as the policy names them. */
  readonly versions: ReadonlyMap<number, Policy>;
}

export interface Finding {
  /** As the schema's own faults have it: `classes[0].tiers[1]`. */
  readonly path: string;
  readonly message: string;
}

export interface Findings {
  readonly errors: readonly Finding[];
  readonly warnings: readonly Finding[];
}

export function holdAgainst(policy: Policy, around: Surroundings): Findings {
  const sets = [
    { path: '', slaClass: null, keyId: undefined },
    ...policy.classes.map(({ name }, index) => ({
      path: `classes[${index}]`,
      slaClass: name,
      keyId: undefined,
    })),
    ...policy.overrides.map(({ key, defaultClass }, index) => ({
      path: `overrides[${index}]`,
      slaClass: defaultClass ?? policy.defaultClass,
      keyId: key,
    })),
  ];
  const matches = sets.map(({ path, slaClass, keyId }) => {
    const rules = rulesFor(policy, slaClass, keyId);
    return rules === undefined ? { errors: [], warnings: [] } : matchFindings(policy, rules, path, around);
  });
  return {
    errors: [...matches.flatMap(({ errors }) => errors), ...referenceErrors(policy, around)],
    warnings: [
      ...matches.flatMap(({ warnings }) => warnings),
      ...canaryWarnings(policy, around),
      ...priceWarnings(policy, around),
      ...keyWarnings(policy, around),
    ],
  };
}

/** A set of rules: a fault when no budget at all lets it match a level of any model, a warning for each part that cannot. */
function matchFindings(policy: Policy, rules: PolicyRules, path: string, { models }: Surroundings): Findings {
  if (models.size === 0) return { errors: [], warnings: [] };
  const at = (rest: string) => (path === '' ? rest : rest === '' ? path : `${path}.${rest}`);
  const matches = (model: string, versions: Versions, tier: Tier | undefined, cap: number | null) =>
    [...versions.values()].some((levels) =>
      levels.some((level) => isAllowed(level, rules, tier) && isAffordable(level, model, policy, cap)),
    );
  const last = rules.tiers.at(-1);
  const parts = [
    ...rules.tiers.map((tier, index) => ({ path: at(`tiers[${index}]`), tier })),
    ...(last === undefined || last.upToMs < rules.maxLatencyBudgetMs
      ? [{ path: at(''), tier: undefined }]
      : []),
  ].map(({ path: where, tier }) => ({
    path: where,
    tier,
    without: [...models].flatMap(([model, versions]) =>
      matches(model, versions, tier, rules.maxCostBudgetNanoUsd) ? [] : [model],
    ),
  }));
  if (parts.every(({ without }) => without.length === models.size))
    return {
      errors: [{ path: at(''), message: 'no level of any model matches these rules, whatever the budget' }],
      warnings: [],
    };
  const unasked = rules.defaultCostBudgetNanoUsd;
  if (
    !parts.some(({ tier }) =>
      [...models].some(([model, versions]) => matches(model, versions, tier, unasked)),
    )
  )
    return {
      errors: [
        {
          path: at(''),
          message:
            'no level costs as little as defaultCostBudgetNanoUsd: requests that name no cost budget would be refused',
        },
      ],
      warnings: [],
    };
  return {
    errors: [],
    warnings: parts.flatMap(({ path: where, without }) =>
      without.length === 0 ? [] : [{ path: where, message: `no level of ${without.join(', ')} matches` }],
    ),
  };
}

type Tier = PolicyRules['tiers'][number];
type Versions = ReadonlyMap<string, readonly LevelOption[]>;

function isAllowed(level: LevelOption, rules: PolicyRules, tier: Tier | undefined): boolean {
  return (
    level.quality >= rules.minQuality &&
    level.sparsity >= Math.max(rules.minSparsity, tier?.minSparsity ?? 0) &&
    level.sparsity <= Math.min(rules.maxSparsity, tier?.maxSparsity ?? 1)
  );
}

/**
 * Whether some class of nodes serves the level for no more than `cap`, null for any: the least request there is, which
 * has a body and takes some time.
 */
function isAffordable({ level }: LevelOption, model: string, policy: Policy, cap: number | null): boolean {
  if (cap === null) return true;
  const priceOf = priceList(policy.prices, model);
  const nodeClasses = new Set(policy.prices.map(({ nodeClass }) => nodeClass));
  return [...nodeClasses, '*'].some(
    (nodeClass) => costNanoUsd(priceOf(nodeClass, level), Number.MIN_VALUE, 1) <= cap,
  );
}

function referenceErrors(
  { overrides, canary }: Policy,
  { models, keyIds, versions }: Surroundings,
): Finding[] {
  const keys = overrides.flatMap(({ key }, index) =>
    keyIds.has(key) ? [] : [{ path: `overrides[${index}].key`, message: `there is no key ${key}` }],
  );
  if (canary === null) return keys;
  if (canary.kind === 'policy') {
    const baseline = versions.get(canary.baseline);
    if (baseline === undefined)
      return [...keys, { path: 'canary.baseline', message: `there is no policy version ${canary.baseline}` }];
    return baseline.canary?.kind === 'policy'
      ? [...keys, { path: 'canary.baseline', message: 'is itself a canary of two policies' }]
      : keys;
  }
  const known = models.get(canary.model);
  if (known === undefined)
    return [...keys, { path: 'canary.model', message: `there is no model ${JSON.stringify(canary.model)}` }];
  const sides = (['baseline', 'candidate'] as const).flatMap((side) =>
    known.has(canary[side])
      ? []
      : [
          {
            path: `canary.${side}`,
            message: `${canary.model} has no version ${JSON.stringify(canary[side])}`,
          },
        ],
  );
  return [...keys, ...sides];
}

/** A request of a class that only one of two policies has is refused by the other. */
function canaryWarnings({ canary, classes }: Policy, { versions }: Surroundings): Finding[] {
  const baseline = canary?.kind === 'policy' ? versions.get(canary.baseline) : undefined;
  if (canary?.kind !== 'policy' || baseline === undefined) return [];
  const [here, there] = [classes, baseline.classes].map((all) => new Set(all.map(({ name }) => name)));
  const onlyHere = classes.flatMap(({ name }, index) =>
    there?.has(name)
      ? []
      : [
          {
            path: `classes[${index}]`,
            message: `version ${canary.baseline} has no class ${name} and refuses its share of these requests`,
          },
        ],
  );
  const onlyThere = baseline.classes.flatMap(({ name }) =>
    here?.has(name)
      ? []
      : [
          {
            path: 'canary.baseline',
            message: `has the class ${name}, which is missing here: a share of these requests is refused`,
          },
        ],
  );
  return [...onlyHere, ...onlyThere];
}

/** A price that nothing meets is a class of nodes that costs something else, or nothing. */
function priceWarnings({ prices }: Policy, { models, nodeClasses }: Surroundings): Finding[] {
  const nowhere = prices.flatMap(({ nodeClass }, index) =>
    nodeClass === '*' || nodeClasses.size === 0 || nodeClasses.has(nodeClass)
      ? []
      : [
          {
            path: `prices[${index}].nodeClass`,
            message: `no node is of the class ${JSON.stringify(nodeClass)}`,
          },
        ],
  );
  if (models.size === 0) return nowhere;
  const unmet = prices.flatMap(({ model, level }, index) => {
    const here =
      model === '*' ? [...models.values()] : [models.get(model)].filter((known) => known !== undefined);
    const levels = here.flatMap((versions) => [...versions.values()].flat());
    if (here.length === 0)
      return [{ path: `prices[${index}].model`, message: `there is no model ${JSON.stringify(model)}` }];
    return level === '*' || levels.some((option) => option.level === level)
      ? []
      : [{ path: `prices[${index}].level`, message: `no model has a level ${level}` }];
  });
  return [...unmet, ...nowhere];
}

const KEYS_NAMED = 5;

/** Keys that may use none of the classes that there are: all of their requests would be refused. */
function keyWarnings({ classes }: Policy, { boundKeys }: Surroundings): Finding[] {
  const there = new Set(classes.map(({ name }) => name));
  const shut = boundKeys.filter(({ classes: allowed }) => !allowed.some((name) => there.has(name)));
  if (shut.length === 0) return [];
  const named = shut.slice(0, KEYS_NAMED).map(({ id }) => id);
  const more = shut.length > KEYS_NAMED ? ` and ${shut.length - KEYS_NAMED} more` : '';
  const message = `holds no class that ${named.join(', ')}${more} may use: their requests are refused`;
  return [{ path: 'classes', message }];
}
