/** What should rise and mostly does, made to: neighbours that fall are taken together (pool adjacent violators; Barlow et al., 1972). */

/**
 * @param values what was seen, in the order in which it should rise
 * @param weights how much each counts, 0 or more: one of none follows the others
 * @returns the nearest that never falls, by weighted squares
 */
export function rising(values: readonly number[], weights: readonly number[]): number[] {
  const pools: Pool[] = [];
  for (const [at, value] of values.entries()) {
    let pool: Pool = { value, weight: weights[at] ?? 0, count: 1 };
    for (let last = pools.at(-1); last !== undefined && last.value > pool.value; last = pools.at(-1)) {
      pool = together(last, pool);
      pools.pop();
    }
    pools.push(pool);
  }
  return pools.flatMap(({ value, count }) => new Array<number>(count).fill(value));
}

interface Pool {
  readonly value: number;
  readonly weight: number;
  readonly count: number;
}

/** @param later what comes behind, and is less */
function together(earlier: Pool, later: Pool): Pool {
  const weight = earlier.weight + later.weight;
  const share = weight > 0 ? later.weight / weight : 1;
  const value = (1 - share) * earlier.value + share * later.value;
  return { value, weight, count: earlier.count + later.count };
}
