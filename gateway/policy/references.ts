/** What a policy names beside its rules, held against what there is: keys, versions, models, classes of nodes. */
import type { Canary, Policy } from '../../schema/policy.ts';
import type { Finding, Surroundings } from './applicability.ts';

export function referenceErrors(
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
    if (baseline.canary?.kind === 'policy')
      return [...keys, { path: 'canary.baseline', message: 'is itself a canary of two policies' }];
    const theirs = versionErrors(baseline.canary, models).map(({ message }) => message);
    return [
      ...keys,
      ...theirs.map((message) => ({ path: 'canary.baseline', message: `is itself a canary: ${message}` })),
    ];
  }
  return [...keys, ...versionErrors(canary, models)];
}

/** What a canary of two artifact versions names and is not there. */
function versionErrors(canary: Canary | null, models: Surroundings['models']): Finding[] {
  if (canary?.kind !== 'artifact') return [];
  const known = models.get(canary.model);
  if (known === undefined)
    return [{ path: 'canary.model', message: `there is no model ${JSON.stringify(canary.model)}` }];
  return (['baseline', 'candidate'] as const).flatMap((side) =>
    known.has(canary[side])
      ? []
      : [
          {
            path: `canary.${side}`,
            message: `${canary.model} has no version ${JSON.stringify(canary[side])}`,
          },
        ],
  );
}

/** A document that governs a share of nothing is in force, and does nothing. */
export function canaryErrors({ canary }: Policy): Finding[] {
  if (canary?.kind !== 'policy' || canary.share > 0) return [];
  const message = `is 0: this document would govern no request; go back to version ${canary.baseline} instead`;
  return [{ path: 'canary.share', message }];
}

/** Overrides, or parts of them, that no request will meet. */
export function overrideWarnings({ overrides }: Policy, { revokedKeys, boundKeys }: Surroundings): Finding[] {
  return overrides.flatMap(({ key, defaultClass }, index) => {
    if (revokedKeys.has(key))
      return [{ path: `overrides[${index}].key`, message: `${key} is revoked: nothing comes with it` }];
    const classes = boundKeys.find(({ id }) => id === key)?.classes;
    if (classes === undefined || defaultClass === undefined || classes.includes(defaultClass)) return [];
    const message = `${key} may not use the class ${defaultClass}: its requests are in another`;
    return [{ path: `overrides[${index}].defaultClass`, message }];
  });
}

/** Sides of a canary that get no request. */
export function idleSides({ canary }: Policy): Finding[] {
  if (canary === null || (canary.share > 0 && canary.share < 1)) return [];
  if (canary.share === 1) return [{ path: 'canary.baseline', message: 'gets no request: the share is 1' }];
  return canary.kind === 'policy'
    ? []
    : [{ path: 'canary.candidate', message: 'gets no request: the share is 0' }];
}

/** A request of a class that only one of two policies has is refused by the other. */
export function canaryWarnings({ canary, classes }: Policy, { versions }: Surroundings): Finding[] {
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
export function priceWarnings({ prices }: Policy, { models, nodeClasses }: Surroundings): Finding[] {
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
export function keyWarnings({ classes }: Policy, { boundKeys }: Surroundings): Finding[] {
  const there = new Set(classes.map(({ name }) => name));
  const shut = boundKeys.filter(({ classes: allowed }) => !allowed.some((name) => there.has(name)));
  if (shut.length === 0) return [];
  const named = shut.slice(0, KEYS_NAMED).map(({ id }) => id);
  const more = shut.length > KEYS_NAMED ? ` and ${shut.length - KEYS_NAMED} more` : '';
  const message = `holds no class that ${named.join(', ')}${more} may use: their requests are refused`;
  return [{ path: 'classes', message }];
}
