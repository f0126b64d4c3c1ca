/** What of a step says which units count: masks, or widths, which TensorFlow.js takes as masks. */
import { SppError } from '../../schema/errors.ts';
import type { EngineStep, MaskedPair, NestedPairs } from './engine.ts';
import type { Variant } from './lane.ts';

interface Units {
  readonly pairs: readonly MaskedPair[];
  readonly nested: NestedPairs | undefined;
  /** Whether widths are cut in the graph. */
  readonly cuts: boolean;
}

/** @throws `bad-shape` for masks or widths that do not fit the pairs */
export function variantOf(
  { masks: given = [], widths: asked }: Pick<EngineStep, 'masks' | 'widths'>,
  { pairs, nested, cuts }: Units,
): Variant {
  const widths = checkedWidths(asked, nested);
  const masked = cuts ? undefined : nested;
  const masks = masked ? prefixMasks(widths, masked) : given;
  checkMasks(masks, masked?.pairs ?? pairs);
  return { masks, widths };
}

function checkMasks(masks: readonly Float32Array[], pairs: readonly MaskedPair[]): void {
  const wrong = pairs.find((pair, index) => masks[index]?.length !== pair.units);
  if (wrong || masks.length !== pairs.length)
    throw new SppError(
      'bad-shape',
      `There must be one mask per pair, as long as its units${wrong ? `: ${wrong.name} has ${wrong.units}` : ''}.`,
    );
}

function checkedWidths(
  widths: readonly number[] | undefined,
  nested: NestedPairs | undefined,
): readonly number[] {
  const pairs = nested?.pairs ?? [];
  const given = widths ?? pairs.map(({ units }) => units);
  const fits = (width: number | undefined, units: number) =>
    width !== undefined && Number.isInteger(width) && width >= 1 && width <= units;
  const wrong = pairs.find(({ units }, pair) => !fits(given[pair], units));
  if (given.length === pairs.length && wrong === undefined) return given;
  throw new SppError(
    'bad-shape',
    `There must be one width per nested pair, from 1 to its units${wrong ? `: ${wrong.name} has ${wrong.units}` : ''}.`,
  );
}

/** Masks that leave the first so many units of each pair. */
export function prefixMasks(
  widths: readonly number[],
  { pairs }: { readonly pairs: readonly Pick<MaskedPair, 'units'>[] },
): Float32Array[] {
  return pairs.map(({ units }, pair) =>
    Float32Array.from({ length: units }, (_, unit) => (unit < (widths[pair] ?? units) ? 1 : 0)),
  );
}
