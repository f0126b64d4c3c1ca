/** Cuts the path into levels: which share of each pair's units every level keeps. */
import type { Pair, PreparedModel } from '../pairs/pair.ts';
import { indexUnits, pairOf } from './units.ts';

/** What levels are measured against. */
type Dense = Pick<PreparedModel, 'flops' | 'params' | 'shared'>;

/** `count` shares of the dense FLOPs, evenly from `lowest` to 1, ascending. */
export function evenGrid(count: number, lowest: number): number[] {
  return Array.from({ length: count }, (_, i) =>
    i === count - 1 ? 1 : lowest + ((1 - lowest) * i) / (count - 1),
  );
}

/** The user's shares, ascending and without repeats, and 1. */
export function namedGrid(shares: readonly number[]): number[] {
  return [...new Set([...shares, 1])].toSorted((a, b) => a - b);
}

/**
 * Widths of every level, sparsest first.
 * Units are taken in path order while they fit under each share of the dense model's FLOPs; every pair keeps at least its
 * first unit, so that no level loses a layer's shape; the last level, share 1, keeps all.
 * @param order flat indices of all units, most wanted first
 * @param shares ascending shares of the dense FLOPs, the last one 1
 */
export function allocateLevels(
  pairs: readonly Pair[],
  order: readonly number[],
  dense: Dense,
  shares: readonly number[],
): number[][] {
  const index = indexUnits(pairs);
  const widths = pairs.map(() => 1);
  // The first unit of each pair is spoken for, wherever it stands in the order.
  const spoken = new Set<number>();
  for (const p of pairs.keys()) {
    const first = order.find((unit) => pairOf(index, unit) === p);
    if (first !== undefined) spoken.add(first);
  }
  let used = sizeAt(pairs, widths, dense).flops;
  const queue = order.filter((unit) => !spoken.has(unit));
  const levels: number[][] = [];
  let taken = 0;
  for (const share of shares) {
    while (taken < queue.length) {
      const pair = pairOf(index, queue[taken] as number);
      const cost = oneMore(pairs, widths, pair, dense);
      if (share < 1 && used + cost > share * dense.flops) break;
      widths[pair] = (widths[pair] ?? 0) + 1;
      used += cost;
      taken++;
    }
    levels.push([...widths]);
  }
  return levels;
}

/**
 * Widths rounded to the nearest multiple, at least one, at most all units: what devices like that compute in tiles. Levels
 * stay nested, since rounding keeps the order; pairs that are not wider than the multiple stay as they are.
 */
export function alignWidths(
  pairs: readonly Pick<Pair, 'units'>[],
  widths: readonly (readonly number[])[],
  multiple: number,
): number[][] {
  return widths.map((row) =>
    row.map((width, p) => {
      const units = pairs[p]?.units ?? width;
      if (width === units || units <= multiple) return width;
      return Math.min(units, Math.max(multiple, Math.round(width / multiple) * multiple));
    }),
  );
}

/**
 * Levels without those that keep the same units as the next one: shares that lie nearer to each other than a unit costs, or widths
 * that were rounded to the same multiple. A path has two levels at least.
 * @returns places of those that differ, ascending, the dense one among them
 */
export function distinctLevels(widths: readonly (readonly number[])[]): number[] {
  const isSame = (row: readonly number[], next: readonly number[] | undefined) =>
    next !== undefined && row.every((width, p) => width === next[p]);
  const places = widths.flatMap((row, level) => (isSame(row, widths[level + 1]) ? [] : [level]));
  return places.length > 1 ? places : [...widths.keys()];
}

/** FLOPs and parameters at given widths. */
export function sizeAt(
  pairs: readonly Pair[],
  widths: readonly number[],
  dense: Dense,
): { flops: number; params: number } {
  let { flops, params } = dense;
  for (const [p, pair] of pairs.entries()) {
    const cut = pair.units - (widths[p] ?? pair.units);
    flops -= cut * pair.flopsPerUnit;
    params -= cut * pair.paramsPerUnit;
  }
  // What several pairs cut was subtracted for each of them: it keeps the product of their shares.
  for (const shared of dense.shared) {
    const kept = shared.pairs.map((p) => keptShare(pairs, widths, p));
    const subtracted = kept.reduce((sum, share) => sum + 1 - share, 0);
    const back = subtracted - (1 - product(kept));
    flops += back * shared.flops;
    params += back * shared.params;
  }
  return { flops, params };
}

/** FLOPs that one more unit of a pair costs at these widths. */
function oneMore(pairs: readonly Pair[], widths: readonly number[], p: number, { shared }: Dense): number {
  const { flopsPerUnit = 0, units = 1 } = pairs[p] ?? {};
  return shared
    .filter((cost) => cost.pairs.includes(p))
    .reduce((sum, cost) => {
      const others = cost.pairs.filter((q) => q !== p).map((q) => keptShare(pairs, widths, q));
      return sum - (cost.flops / units) * (1 - product(others));
    }, flopsPerUnit);
}

function keptShare(pairs: readonly Pair[], widths: readonly number[], p: number): number {
  const units = pairs[p]?.units ?? 1;
  return (widths[p] ?? units) / units;
}

function product(shares: readonly number[]): number {
  return shares.reduce((a, b) => a * b, 1);
}
