/**
 * Holds a policy against what there is: models and their levels, keys, earlier versions. What can match nothing is a
 * fault, what can match nothing in some cases a warning; neither is left for requests to find out.
 */
import type { Policy, PolicyRules } from '../../schema/policy.ts';
import { rulesFor } from '../../schema/policy.ts';
import { costNanoUsd, type LevelOption } from '../selector/candidates.ts';
import { priceList } from './prices.ts';
import {
  canaryErrors,
  canaryWarnings,
  idleSides,
  keyWarnings,
  overrideWarnings,
  priceWarnings,
  referenceErrors,
} from './references.ts';
import { usualClass } from './request-rules.ts';

/** What a policy is held against. */
export interface Surroundings {
  /** By model and artifact version. */
  readonly models: ReadonlyMap<string, ReadonlyMap<string, readonly LevelOption[]>>;
  /** By model: the version that requests go to where no canary says otherwise. */
  readonly activeVersions: ReadonlyMap<string, string>;
  /** Of those that the policy names. */
  readonly keyIds: ReadonlySet<string>;
  readonly revokedKeys: ReadonlySet<string>;
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
  const classesOf = new Map(around.boundKeys.map(({ id, classes }) => [id, classes]));
  const sets = [
    { path: '', slaClass: null, keyId: undefined },
    ...policy.classes.map(({ name }, index) => ({
      path: `classes[${index}]`,
      slaClass: name,
      keyId: undefined,
    })),
    ...policy.overrides.map(({ key }, index) => ({
      path: `overrides[${index}]`,
      slaClass: usualClass(policy, key, classesOf.get(key) ?? null),
      keyId: key,
    })),
  ];
  const targets = targetsOf(policy, around);
  const matches = sets.map(({ path, slaClass, keyId }) => {
    const rules = slaClass === undefined ? undefined : rulesFor(policy, slaClass, keyId);
    return rules === undefined ? { errors: [], warnings: [] } : matchFindings(rules, path, targets);
  });
  return {
    errors: [
      ...matches.flatMap(({ errors }) => errors),
      ...referenceErrors(policy, around),
      ...canaryErrors(policy),
    ],
    warnings: [
      ...matches.flatMap(({ warnings }) => warnings),
      ...idleSides(policy),
      ...canaryWarnings(policy, around),
      ...priceWarnings(policy, around),
      ...keyWarnings(policy, around),
      ...overrideWarnings(policy, around),
    ],
  };
}

/** An artifact version that requests go to, and what it is called: by its model, or by both where there are two of the model. */
interface Target {
  readonly name: string;
  readonly levels: readonly PricedLevel[];
}

/** Worked out once for all of a document's rules: a large one has thousands of sets of them. */
interface PricedLevel extends LevelOption {
  /** The least that any request for it costs. */
  readonly leastNanoUsd: number;
}

/** Versions that no request goes to do not count: what only they could match is matched by nothing. */
function targetsOf({ canary, prices }: Policy, around: Surroundings): Target[] {
  const { models, activeVersions } = around;
  return [...models].flatMap(([model, versions]) => {
    const active = activeVersions.get(model);
    const sides =
      canary?.kind === 'artifact' && canary.model === model ? [canary.baseline, canary.candidate] : [];
    const there = sides.filter((version) => versions.has(version));
    const names = there.length > 0 ? there : active === undefined ? [] : [active];
    return names.map((version) => ({
      name: names.length > 1 ? `${model}/${version}` : model,
      levels: pricedLevels(versions.get(version) ?? [], prices, model, around.nodeClasses),
    }));
  });
}

/** A set of rules: a fault when no budget at all lets it match a level of any model, a warning for each part that cannot. */
function matchFindings(rules: PolicyRules, path: string, targets: readonly Target[]): Findings {
  if (targets.length === 0) return { errors: [], warnings: [] };
  const at = (rest: string) => (path === '' ? rest : rest === '' ? path : `${path}.${rest}`);
  const matches = ({ levels }: Target, tier: Tier | undefined, cap: number | null) =>
    levels.some((level) => (cap === null || level.leastNanoUsd <= cap) && isAllowed(level, rules, tier));
  const last = rules.tiers.at(-1);
  const parts = [
    ...rules.tiers.flatMap((tier, index) =>
      isReached(rules, index) ? [{ path: at(`tiers[${index}]`), tier }] : [],
    ),
    ...(last === undefined || last.upToMs < rules.maxLatencyBudgetMs
      ? [{ path: at(''), tier: undefined }]
      : []),
  ].map(({ path: where, tier }) => ({
    path: where,
    tier,
    without: targets.flatMap((target) =>
      matches(target, tier, rules.maxCostBudgetNanoUsd) ? [] : [target.name],
    ),
  }));
  if (parts.every(({ without }) => without.length === targets.length))
    return {
      errors: [{ path: at(''), message: 'no level of any model matches these rules, whatever the budget' }],
      warnings: [],
    };
  const unasked = rules.defaultCostBudgetNanoUsd;
  if (!parts.some(({ tier }) => targets.some((target) => matches(target, tier, unasked))))
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

/** Whether some request's budget falls in it: a class may have other bounds than the rules whose tiers it keeps. */
function isReached({ tiers, minLatencyBudgetMs, maxLatencyBudgetMs }: PolicyRules, index: number): boolean {
  const below = tiers[index - 1]?.upToMs ?? 0;
  return (tiers[index]?.upToMs ?? 0) >= minLatencyBudgetMs && below < maxLatencyBudgetMs;
}

function isAllowed(level: LevelOption, rules: PolicyRules, tier: Tier | undefined): boolean {
  return (
    level.quality >= rules.minQuality &&
    level.sparsity >= Math.max(rules.minSparsity, tier?.minSparsity ?? 0) &&
    level.sparsity <= Math.min(rules.maxSparsity, tier?.maxSparsity ?? 1)
  );
}

/**
 * With what the least request there is costs, which has a body and takes some time, on the cheapest node.
 * @param nodeClasses of the nodes that there are; before there is one, any class will do that a price is for
 */
function pricedLevels(
  levels: readonly LevelOption[],
  prices: Policy['prices'],
  model: string,
  nodeClasses: ReadonlySet<string>,
): PricedLevel[] {
  const priceOf = priceList(prices, model);
  const priced = new Set([...prices.map(({ nodeClass }) => nodeClass), '*']);
  const classes = [...(nodeClasses.size > 0 ? nodeClasses : priced)];
  const leastAt = (level: number) =>
    classes.reduce(
      (least, nodeClass) => Math.min(least, costNanoUsd(priceOf(nodeClass, level), Number.MIN_VALUE, 1)),
      Number.POSITIVE_INFINITY,
    );
  return levels.map((option) => ({ ...option, leastNanoUsd: leastAt(option.level) }));
}
