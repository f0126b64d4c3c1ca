/** Which nodes a budget reaches, whatever the level. */
import type { CandidateTable } from './candidate-table.ts';

export interface Columns {
  /** Where something might be in time. */
  readonly near: readonly number[];
  /** Where nothing is. */
  readonly far: readonly number[];
  /** The least that it takes to reach one of the near. */
  readonly soonestMs: number;
}

/** The columns that may be used, after one look at each: a small budget's are mostly too far for all levels. */
export function columnsByReach({ reachMs, nodeLeastMs }: CandidateTable, leftMs: number): Columns {
  const near: number[] = [];
  const far: number[] = [];
  let soonestMs = Number.POSITIVE_INFINITY;
  for (let column = 0; column < reachMs.length; column++) {
    const reach = reachMs[column] as number;
    const leastMs = reach + (nodeLeastMs[column] as number);
    if (leastMs <= leftMs) {
      near.push(column);
      soonestMs = Math.min(soonestMs, reach);
    } else if (leastMs > leftMs) far.push(column);
  }
  return { near, far, soonestMs };
}
