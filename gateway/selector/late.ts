/** What there is for a request where nothing fits, or none of the better levels leaves the room that it should: looked for only then. */
import type { CandidateTable } from './candidate-table.ts';
import { allows, costCapOf, costOf, kibOf, leastCostOf, NONE } from './cells.ts';
import { QuickestByCost } from './quickest-by-cost.ts';
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
  const rows = [...table.levels.keys()].sort((a, b) => sparsityOf(table, b) - sparsityOf(table, a));
  for (const row of rows) {
    const sparsity = sparsityOf(table, row);
    // From here on nothing could be one of the two any more.
    if (found.second !== NONE && sparsity < found.secondScore) break;
    const { first, firstMs, next, nextMs } = soonestIn(table, row, request, reachMs, runMs);
    if (first !== NONE) found.take(first, sparsity, firstMs, next, sparsity, nextMs);
  }
  return found;
}

/**
 * Of the levels in time that can be paid, whatever room they leave, the best that has a node where it is quicker or cheaper than every sparser
 * one: with some budgets it is the sparsest there is, is taken then, and so with all larger ones. On the two nodes where it is soonest.
 */
export function lastResort(table: CandidateTable, request: SelectionRequest): TwoCells {
  const leftMs = request.budgetLeftMs - request.rules.reserveMs;
  const sparser = new QuickestByCost();
  const isAhead = (cost: number, ms: number) => ms < sparser.msAt(cost);
  const takeIn = (cost: number, ms: number) => {
    sparser.take(cost, ms);
    return false;
  };
  const rows = [...table.levels.keys()].sort((a, b) => sparsityOf(table, b) - sparsityOf(table, a));
  let taken = NONE;
  for (let from = 0, to = 0; from < rows.length; from = to) {
    const sparsity = sparsityOf(table, rows[from] as number);
    while (to < rows.length && sparsityOf(table, rows[to] as number) === sparsity) to++;
    // Levels of one sparsity are not held against one another.
    const alike = rows.slice(from, to);
    // The better level has the lower row.
    for (const row of alike)
      if ((taken === NONE || row < taken) && isInReach(table, row, request, isAhead)) taken = row;
    for (const row of alike) isInReach(table, row, request, takeIn);
  }
  if (taken === NONE) return { best: NONE, second: NONE };
  const { first, next, nextMs } = soonestIn(table, taken, request, table.reachMs, table.executeMs);
  return { best: first, second: nextMs <= leftMs ? next : NONE };
}

/** Whether a level has a cell within both budgets of which that is true. */
function isInReach(
  table: CandidateTable,
  row: number,
  request: SelectionRequest,
  isWanted: (cost: number, ms: number) => boolean,
): boolean {
  const { reachMs, executeMs, usable } = table;
  const leftMs = request.budgetLeftMs - request.rules.reserveMs;
  const costCap = costCapOf(request);
  if (!allows(table, row, request) || leastCostOf(table, row, kibOf(request)) > costCap) return false;
  const columns = reachMs.length;
  for (let column = 0, cell = row * columns; column < columns; column++, cell++) {
    const ms = (reachMs[column] as number) + (executeMs[cell] as number);
    // NaN where the level is not served.
    if (!(ms <= leftMs) || usable[column] === 0) continue;
    const cost = costOf(table, cell, request.bytes);
    if (cost <= costCap && isWanted(cost, ms)) return true;
  }
  return false;
}

/** Where nothing can be paid: the cell that costs least, of those alike the one of the best level. */
export function cheapest(table: CandidateTable, request: SelectionRequest): number {
  const { reachMs, executeMs } = table;
  const columns = reachMs.length;
  let found = NONE;
  let least = Number.POSITIVE_INFINITY;
  for (let row = 0; row < table.levels.length; row++) {
    if (!allows(table, row, request) || leastCostOf(table, row, kibOf(request)) >= least) continue;
    for (let column = 0, cell = row * columns; column < columns; column++, cell++) {
      // NaN where the node may not be used or does not serve the level.
      if (!((reachMs[column] as number) + (executeMs[cell] as number) >= 0)) continue;
      const cost = costOf(table, cell, request.bytes);
      if (cost < least) [found, least] = [cell, cost];
    }
  }
  return found;
}

/** Of a level's cells that may be used and can be paid, the two of the least times; none where the level is out of bounds. */
function soonestIn(
  table: CandidateTable,
  row: number,
  request: SelectionRequest,
  reachMs: Float64Array,
  runMs: Float64Array,
): LeastTwo {
  const soonest = new LeastTwo();
  const costCap = costCapOf(request);
  if (!allows(table, row, request) || leastCostOf(table, row, kibOf(request)) > costCap) return soonest;
  const columns = table.reachMs.length;
  for (let column = 0, cell = row * columns; column < columns; column++, cell++) {
    // What is no better than the two that are held need not be looked at. NaN where the level is not served.
    const ms = (reachMs[column] as number) + (runMs[cell] as number);
    if (!(ms < soonest.nextMs) || table.usable[column] === 0) continue;
    if (costOf(table, cell, request.bytes) <= costCap) soonest.take(cell, ms);
  }
  return soonest;
}

function sparsityOf({ levels }: CandidateTable, row: number): number {
  return levels[row]?.sparsity ?? Number.NaN;
}
