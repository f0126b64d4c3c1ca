/** Which artifact version of a model a request goes to. */
import { SppError } from '../../schema/errors.ts';
import type { Fleet } from '../nodes/fleet.ts';
import type { LevelOption } from '../selector/candidates.ts';
import type { CatalogModel, CatalogVersion } from '../storage/catalog.ts';

/**
 * The active version, where a usable node serves it; else the newest that one serves: while nodes change to a new version, the one
 * before, and after an older one was made active again, that one as soon as a node has it.
 * @param wanted goes before the active one, where a usable node serves it
 */
export function routedVersion(model: CatalogModel, fleet: Fleet, wanted?: string): CatalogVersion {
  const preferred = wanted === undefined ? undefined : model.versions.get(wanted);
  if (preferred !== undefined && fleet.serves(model.id, preferred.version)) return preferred;
  for (const version of activeFirst(model)) if (fleet.serves(model.id, version.version)) return version;
  const version = model.versions.get(model.activeVersion);
  if (version === undefined) throw new Error(`${model.id} has no version ${model.activeVersion}.`);
  return version;
}

export function isServed(model: CatalogModel, fleet: Fleet): boolean {
  return activeFirst(model).some(({ version }) => fleet.serves(model.id, version));
}

/** A version's levels as the selector takes them; the same object for the same version. */
export function levelOptions(version: CatalogVersion): readonly LevelOption[] {
  return remembered(optionsOf, version, () =>
    version.levels.map(({ level, quality, sparsity, flops }) => ({
      level,
      quality: quality.value,
      sparsity,
      flops,
    })),
  );
}

export function unknownLevel(model: string, asked: string, { levels }: CatalogVersion): SppError {
  return new SppError('unknown-level', `${model} has no level ${JSON.stringify(asked.slice(0, 32))}.`, {
    hint: `Its levels are 0 (sparsest) to ${levels.length - 1} (dense).`,
  });
}

/** Worked out once for each copy of the catalog, which the hot path would otherwise sort with each request. */
const versionsOf = new WeakMap<CatalogModel, readonly CatalogVersion[]>();
const optionsOf = new WeakMap<CatalogVersion, readonly LevelOption[]>();

function activeFirst(model: CatalogModel): readonly CatalogVersion[] {
  const rank = ({ version, ordinal }: CatalogVersion) =>
    version === model.activeVersion ? Number.POSITIVE_INFINITY : ordinal;
  return remembered(versionsOf, model, () =>
    [...model.versions.values()].sort((a, b) => (rank(b) > rank(a) ? 1 : -1)),
  );
}

function remembered<K extends object, V>(memory: WeakMap<K, V>, key: K, make: () => V): V {
  const known = memory.get(key);
  if (known !== undefined) return known;
  const made = make();
  memory.set(key, made);
  return made;
}
