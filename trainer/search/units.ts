/** All units of all pairs as one flat list, and back: search and allocation know units, engines know pairs. */
import type { Pair } from '../pairs/pair.ts';

export interface UnitIndex {
  readonly total: number;
  /** First flat index of each pair. */
  readonly offsets: readonly number[];
  readonly sizes: readonly number[];
}

/** Where each pair's units lie among all of them: one pair behind the other. */
export function indexUnits(pairs: readonly Pair[]): UnitIndex {
  const offsets: number[] = [];
  let total = 0;
  for (const pair of pairs) {
    offsets.push(total);
    total += pair.units;
  }
  return { total, offsets, sizes: pairs.map((pair) => pair.units) };
}

/** A flat array [total] as one array a pair, [units], in the float32 that engines take. */
export function splitByPair(index: UnitIndex, flat: Float64Array): Float32Array[] {
  return index.sizes.map((size, p) =>
    Float32Array.from(flat.subarray(index.offsets[p] ?? 0, (index.offsets[p] ?? 0) + size)),
  );
}

/** One array a pair, [units], as a flat one [total]. */
export function joinPairs(index: UnitIndex, byPair: readonly ArrayLike<number>[]): Float64Array {
  const flat = new Float64Array(index.total);
  for (const [p, values] of byPair.entries()) flat.set(Array.from(values), index.offsets[p] ?? 0);
  return flat;
}

/** FLOPs of one unit, flat over all units: the cost by which need is weighed. */
export function unitCosts(pairs: readonly Pair[]): Float64Array {
  return Float64Array.from(
    pairs.flatMap((pair) => Array.from({ length: pair.units }, () => pair.flopsPerUnit)),
  );
}

/** A flat order as each pair's own order of its units. */
export function orderByPair(index: UnitIndex, order: readonly number[]): number[][] {
  const byPair: number[][] = index.sizes.map(() => []);
  for (const unit of order) {
    const pair = pairOf(index, unit);
    byPair[pair]?.push(unit - (index.offsets[pair] ?? 0));
  }
  return byPair;
}

/** The pair of a flat index. */
export function pairOf(index: UnitIndex, unit: number): number {
  return index.offsets.findLastIndex((offset) => offset <= unit);
}
