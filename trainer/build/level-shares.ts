/** Which shares of the dense FLOPs a build's levels are to keep. */
import type { PreparedModel } from '../pairs/pair.ts';
import { distinctLevels, evenGrid, namedGrid, sizeAt } from '../search/allocate.ts';
import type { BuildOptions } from './options.ts';

/**
 * The grid that was asked for, from where the model can be cut to: with one unit of each pair the rest of it is still there, and levels
 * that ask for less would all be the same.
 * @returns ascending shares, the last one 1, and what is to be said of them
 */
export function levelShares(
  model: Pick<PreparedModel, 'pairs' | 'flops' | 'params' | 'shared'>,
  { grid, levels, lowest }: Pick<BuildOptions, 'grid' | 'levels' | 'lowest'>,
): { readonly shares: readonly number[]; readonly notes: readonly string[] } {
  const ones = model.pairs.map(() => 1);
  const least = Math.min(1, sizeAt(model.pairs, ones, model).flops / model.flops);
  const asked = grid === undefined ? lowest : Math.min(...grid);
  const shares =
    grid === undefined
      ? evenGrid(levels, Math.max(lowest, least))
      : namedGrid(grid.map((share) => Math.max(share, least)));
  if (asked >= least) return { shares, notes: [] };
  return {
    shares,
    notes: [`the model can be cut down to ${(100 * least).toFixed(1)} % of its FLOPs: levels begin there`],
  };
}

interface DistinctLevels {
  readonly widths: readonly (readonly number[])[];
  readonly shares: readonly number[];
  /** What is to be said of those that were left out. */
  readonly notes: readonly string[];
}

/** Levels without repeats of the next one. @param shares that the widths were cut to, by level */
export function withoutRepeats(
  widths: readonly (readonly number[])[],
  shares: readonly number[],
): DistinctLevels {
  const places = distinctLevels(widths);
  const repeated = shares.filter((_, level) => !places.includes(level));
  const named = repeated.map((share) => `${(100 * share).toFixed(1)} %`).join(', ');
  return {
    widths: places.map((level) => widths[level] as readonly number[]),
    shares: places.map((level) => shares[level] as number),
    notes:
      repeated.length === 0
        ? []
        : [`levels that keep the same units as the next one were left out: ${named} of the FLOPs`],
  };
}

/** Of what was asked for, what the sparsest level may keep more because of rounding without a word. */
const ROUNDED = 1.1;

/** What is to be said where rounding keeps the sparsest level from being as sparse as was asked for, or does nothing. */
export function roundedNotes(
  model: Pick<PreparedModel, 'pairs' | 'flops' | 'params' | 'shared'>,
  { widths: [sparsest = []], shares: [asked = 1] }: Pick<DistinctLevels, 'widths' | 'shares'>,
  multiple: number,
): readonly string[] {
  const kept = sizeAt(model.pairs, sparsest, model).flops / model.flops;
  if (multiple === 1) return [];
  const narrow = model.pairs.filter(({ units }) => units <= multiple).length;
  const left = `${narrow} of ${model.pairs.length} pairs have no more than ${multiple} units: their widths are not rounded`;
  const said = narrow === 0 ? [] : [left];
  if (kept <= ROUNDED * asked) return said;
  return [
    ...said,
    `with widths in multiples of ${multiple} units the sparsest level keeps ${(100 * kept).toFixed(1)} % of the FLOPs, not ${(100 * asked).toFixed(1)} %`,
  ];
}
