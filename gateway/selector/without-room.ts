/**
 * What a busy fleet serves all the same where no level leaves the room that it should, or only worse ones do. With some budgets the
 * sparsest that is in time and can be paid is taken without room; so that no larger budget, of time or money, gets a worse level, it is
 * taken with all larger ones. That is every level with a node where no sparser one, on any node, is both as quick and as cheap.
 */
import type { CandidateTable } from './candidate-table.ts';
import { allows, costCapOf, costOf, kibOf, leastCostOf, leftOf, NONE, sparsityOf } from './cells.ts';
import { soonestIn, type TwoCells } from './late.ts';
import { columnsByReach } from './reach.ts';
import type { SelectionRequest } from './selection-request.ts';

/** What a level promises on one node. */
interface Offer {
  readonly ms: number;
  readonly cost: number;
}

const NO_OFFER: Offer = { ms: Number.POSITIVE_INFINITY, cost: Number.POSITIVE_INFINITY };

/**
 * The best such level, on the two nodes where it is soonest.
 * @param above only those of more quality
 */
export function withoutRoom(table: CandidateTable, request: SelectionRequest, above: number): TwoCells {
  const { levels } = table;
  const leftMs = leftOf(request);
  const { near, soonestMs } = columnsByReach(table, leftMs);
  const usual = soonestOfSparsest(table, request);
  for (let row = 0; row < levels.length; row++) {
    // Rows come by falling quality.
    if ((levels[row]?.quality as number) <= above) break;
    const rowMs = soonestMs + (table.levelLeastMs[row] as number);
    const rowCost = leastCostOf(table, row, kibOf(request));
    if (!allows(table, row, request) || rowMs > leftMs || rowCost > costCapOf(request)) continue;
    const rival = sparsityOf(table, row) < usual.sparsity ? usual : NO_OFFER;
    if (matches(rival, rowMs, rowCost) || !isUnmatched(table, row, near, rival, request)) continue;
    const { first, next, nextMs } = soonestIn(table, row, request, table.reachMs, table.executeMs);
    return { best: first, second: nextMs <= leftMs ? next : NONE };
  }
  return { best: NONE, second: NONE };
}

/** What nearly always matches all of the denser levels. */
function soonestOfSparsest(table: CandidateTable, request: SelectionRequest): Offer & { sparsity: number } {
  for (const row of table.sparsestFirst) {
    const { first, firstMs } = soonestIn(table, row, request, table.reachMs, table.executeMs);
    if (first === NONE) continue;
    const cost = costOf(table, first, kibOf(request));
    return { ms: firstMs, cost, sparsity: sparsityOf(table, row) };
  }
  return { ...NO_OFFER, sparsity: Number.NEGATIVE_INFINITY };
}

function matches(offer: Offer, ms: number, cost: number): boolean {
  return offer.ms <= ms && offer.cost <= cost;
}

/**
 * Whether a level has a cell within both budgets that no sparser level matches.
 * @param rival of a sparser one: looked at first, as it is quicker to look at than all
 */
function isUnmatched(
  table: CandidateTable,
  row: number,
  near: readonly number[],
  rival: Offer,
  request: SelectionRequest,
): boolean {
  const { reachMs, executeMs } = table;
  const leftMs = leftOf(request);
  const costCap = costCapOf(request);
  const kib = kibOf(request);
  const start = row * reachMs.length;
  const offers: Offer[] = [];
  for (let i = 0; i < near.length; i++) {
    const column = near[i] as number;
    const ms = (reachMs[column] as number) + (executeMs[start + column] as number);
    // NaN where the level is not served.
    if (!(ms <= leftMs)) continue;
    const cost = costOf(table, start + column, kib);
    if (cost <= costCap && !matches(rival, ms, cost)) offers.push({ ms, cost });
  }
  return foremost(offers).some((offer) => !isMatched(table, row, offer, request));
}

/** Those that none of the others matches: what matches one of these matches the others, too. */
function foremost(offers: readonly Offer[]): Offer[] {
  let least = Number.POSITIVE_INFINITY;
  return offers
    .toSorted((a, b) => a.ms - b.ms || a.cost - b.cost)
    .filter(({ cost }) => {
      const isCheaper = cost < least;
      least = Math.min(least, cost);
      return isCheaper;
    });
}

/** By a sparser level on any node. */
function isMatched(
  table: CandidateTable,
  row: number,
  { ms, cost }: Offer,
  request: SelectionRequest,
): boolean {
  const { reachMs, executeMs, sparsestFirst } = table;
  const columns = reachMs.length;
  const kib = kibOf(request);
  for (const other of sparsestFirst) {
    if (sparsityOf(table, other) <= sparsityOf(table, row)) break;
    if (!allows(table, other, request)) continue;
    for (let column = 0, cell = other * columns; column < columns; column++, cell++) {
      const isAsQuick = (reachMs[column] as number) + (executeMs[cell] as number) <= ms;
      if (isAsQuick && costOf(table, cell, kib) <= cost) return true;
    }
  }
  return false;
}
