/** What there is for a request where nothing fits: looked for only then. */
import type { CandidateTable } from './candidate-table.ts';
import { allows, costCapOf, costOf, kibOf, leastCostOf, NONE, sparsityOf } from './cells.ts';
import type { SelectionRequest } from './selection-request.ts';
import { LeastTwo, TopTwo } from './two-best.ts';

/** Cells of the table, `NONE` where there is none. */
export interface TwoCells {
  readonly best: number;
  readonly second: number;
}

/** Of all that may be used and can be paid, however late: the sparsest, then what takes the least at the quantile. */
export function sparsest(table: CandidateTable, request: SelectionRequest): TwoCells {
  return sparsestBy(table, request, table.reachMs, table.executeMs);
}

/** The same by the usual time: where nothing is promised, what mostly is in time is better than what seldom is very late. */
export function likeliest(table: CandidateTable, request: SelectionRequest): TwoCells {
  const { usualNetworkMs, expectedQueueMs, usualMs } = table;
  const usualReachMs = usualNetworkMs.map((ms, column) => ms + (expectedQueueMs[column] as number));
  return sparsestBy(table, request, usualReachMs, usualMs);
}

function sparsestBy(
  table: CandidateTable,
  request: SelectionRequest,
  reachMs: Float64Array,
  runMs: Float64Array,
): TwoCells {
  const found = new TopTwo();
  for (const row of table.sparsestFirst) {
    const sparsity = sparsityOf(table, row);
    // From here on nothing could be one of the two any more.
    if (found.second !== NONE && sparsity < found.secondScore) break;
    const { first, firstMs, next, nextMs } = soonestIn(table, row, request, reachMs, runMs);
    if (first !== NONE) found.take(first, sparsity, firstMs, next, sparsity, nextMs);
  }
  return found;
}

/** Where nothing can be paid: the cell that costs least, of those alike the one of the best level. */
export function cheapest(table: CandidateTable, request: SelectionRequest): number {
  const { reachMs, executeMs } = table;
  const columns = reachMs.length;
  const kib = kibOf(request);
  let found = NONE;
  let least = Number.POSITIVE_INFINITY;
  for (let row = 0; row < table.levels.length; row++) {
    if (!allows(table, row, request) || leastCostOf(table, row, kib) >= least) continue;
    for (let column = 0, cell = row * columns; column < columns; column++, cell++) {
      // NaN where the node may not be used or does not serve the level.
      if (!((reachMs[column] as number) + (executeMs[cell] as number) >= 0)) continue;
      const cost = costOf(table, cell, kib);
      if (cost < least) [found, least] = [cell, cost];
    }
  }
  return found;
}

/** Of a level's cells that may be used and can be paid, the two of the least times; none where the level is out of bounds. */
export function soonestIn(
  table: CandidateTable,
  row: number,
  request: SelectionRequest,
  reachMs: Float64Array,
  runMs: Float64Array,
): LeastTwo {
  const soonest = new LeastTwo();
  const costCap = costCapOf(request);
  const kib = kibOf(request);
  if (!allows(table, row, request) || leastCostOf(table, row, kib) > costCap) return soonest;
  const columns = table.reachMs.length;
  for (let column = 0, cell = row * columns; column < columns; column++, cell++) {
    // What is no better than the two that are held need not be looked at. NaN where the level is not served.
    const ms = (reachMs[column] as number) + (runMs[cell] as number);
    if (!(ms < soonest.nextMs) || table.usable[column] === 0) continue;
    if (costOf(table, cell, kib) <= costCap) soonest.take(cell, ms);
  }
  return soonest;
}
