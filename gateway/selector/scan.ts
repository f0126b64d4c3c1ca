/**
 * Looks at every (level, node) that a request may use and keeps the few that a decision needs. Flat arrays, nothing
 * allocated on the way: for large fleets this is all that a decision costs.
 *
 * A level is taken when its run would fit even if it took longer, by as much as the fleet is busy (`stretchOf`): short runs
 * leave room for those who come next, and a burst goes down the path together instead of failing its last. Where no level
 * leaves that much, the sparsest that is in time is taken: nobody is refused for others' sake. What a smaller budget gets so, a larger
 * one gets too: a level that is quicker than all sparser ones is taken without room where those with room are worse.
 *
 * Within a row the quality is the same, so under every objective the cheaper node is better, then the quicker. Each row
 * therefore only brings its two best, which are then held against those of the rows before.
 */
import type { CandidateTable } from './candidate-table.ts';
import { allows, costCapOf, costOf, levelAt, NONE, totalOf } from './cells.ts';
import { quickest } from './late.ts';
import type { SelectionRequest } from './selection-request.ts';
import { TopTwo } from './two-best.ts';

/** Cells of the table, `NONE` where there is none. */
export interface Scan {
  readonly best: number;
  readonly second: number;
  /** Of what is over the cost budget. */
  readonly cheapest: number;
  /** Levels within the bounds. */
  readonly allowed: number;
  readonly considered: number;
  readonly overLatency: number;
  readonly overCost: number;
  /** Of what is over the latency budget only for the room that it should leave: the least time, and the most sparsity. */
  readonly tightMs: number;
  readonly tightSparsity: number;
}

/** For each request that a worker has already, a run has to fit as if it took this much of itself longer. */
const ROOM = 2;

/** How many times its predicted time a run has to fit the budget with. */
export function stretchOf({ pressure = 0, caution = 1 }: SelectionRequest): number {
  return caution * (1 + ROOM * pressure);
}

export function scan(table: CandidateTable, request: SelectionRequest): Scan {
  const found = scanned(table, request, stretchOf(request));
  if (found.tightMs === Number.POSITIVE_INFINITY) return found;
  const { best } = found;
  if (best === NONE) return { ...found, ...quickest(table, request) };
  if (request.rules.objective.kind !== 'quality-first') return found;
  const { sparsity, quality } = levelAt(table, best);
  // Nearly always: what has room is sparser than what is better, and no slower.
  if (sparsity > found.tightSparsity && totalOf(table, best) <= found.tightMs) return found;
  const better = quickest(table, request);
  return better.best !== NONE && levelAt(table, better.best).quality > quality
    ? { ...found, ...better, second: better.second === NONE ? best : better.second }
    : found;
}

function scanned(table: CandidateTable, request: SelectionRequest, stretch: number): Scan {
  const { levels, reachMs, executeMs, costNanoUsd, perKiBNanoUsd } = table;
  const { objective, reserveMs } = request.rules;
  const columns = reachMs.length;
  const leftMs = request.budgetLeftMs - reserveMs;
  const costCap = costCapOf(request);
  const isCapped = costCap !== Number.POSITIVE_INFINITY;
  const kib = Math.ceil(request.bytes / 1024);
  let allowed = 0;
  let considered = 0;
  let overLatency = 0;
  let overCost = 0;
  let tightMs = Number.POSITIVE_INFINITY;
  let tightSparsity = 0;
  const fitting = new TopTwo();
  let cheapest = NONE;
  let cheapestCost = Number.POSITIVE_INFINITY;

  for (let row = 0; row < levels.length; row++) {
    if (!allows(table, row, request)) continue;
    allowed++;
    const { quality, sparsity } = levels[row] as { quality: number; sparsity: number };
    // Rows come by falling quality, so from here on nothing could be the best or the second any more.
    if (objective.kind === 'quality-first' && fitting.second !== NONE && quality < fitting.secondScore) break;
    let first = NONE;
    let firstCost = Number.POSITIVE_INFINITY;
    let firstMs = 0;
    let other = NONE;
    let otherCost = Number.POSITIVE_INFINITY;
    let otherMs = 0;
    for (let column = 0, cell = row * columns; column < columns; column++, cell++) {
      const runMs = executeMs[cell] as number;
      const totalMs = (reachMs[column] as number) + stretch * runMs;
      // NaN where the node may not be used or does not serve the level.
      if (!(totalMs >= 0)) continue;
      considered++;
      const isLate = totalMs > leftMs;
      let cost = 0;
      // Of what is late the cost matters only where there is a budget for it.
      if (isCapped || !isLate) {
        cost = (costNanoUsd[cell] as number) + (perKiBNanoUsd[cell] as number) * kib;
        if (cost > costCap) {
          overCost++;
          if (cost < cheapestCost) {
            cheapest = cell;
            cheapestCost = cost;
          }
          continue;
        }
      }
      if (isLate) {
        overLatency++;
        const plainMs = (reachMs[column] as number) + runMs;
        if (plainMs <= leftMs) {
          tightMs = Math.min(tightMs, plainMs);
          tightSparsity = Math.max(tightSparsity, sparsity);
        }
      } else if (cost < firstCost || (cost === firstCost && totalMs < firstMs)) {
        other = first;
        otherCost = firstCost;
        otherMs = firstMs;
        first = cell;
        firstCost = cost;
        firstMs = totalMs;
      } else if (cost < otherCost || (cost === otherCost && totalMs < otherMs)) {
        other = cell;
        otherCost = cost;
        otherMs = totalMs;
      }
    }
    if (first !== NONE)
      fitting.take(
        first,
        scoreOf(objective, quality, firstCost),
        firstCost,
        other,
        scoreOf(objective, quality, otherCost),
        otherCost,
      );
  }
  return {
    best: fitting.best,
    second: fitting.second,
    cheapest,
    allowed,
    considered,
    overLatency,
    overCost,
    tightMs,
    tightSparsity,
  };
}

function scoreOf(objective: SelectionRequest['rules']['objective'], quality: number, cost: number): number {
  if (objective.kind === 'quality-first') return quality;
  return objective.kind === 'cost-first' ? -cost : quality * objective.nanoUsdPerQuality - cost;
}

/** The quicker of two nodes that serve `best`'s level at its cost and within the budget; `best` when there is no other. */
export function drawnPeer(table: CandidateTable, best: number, request: SelectionRequest): number {
  const { reachMs, executeMs } = table;
  if (request.draws === undefined || reachMs.length < 2) return best;
  const [firstDraw, otherDraw] = request.draws;
  const leftMs = request.budgetLeftMs - request.rules.reserveMs;
  const stretch = stretchOf(request);
  const start = best - (best % reachMs.length);
  const timeOf = (cell: number) => (reachMs[cell - start] as number) + (executeMs[cell] as number);
  const roomOf = (cell: number) => timeOf(cell) + (stretch - 1) * (executeMs[cell] as number);
  // Without room to spare it is the quickest or none.
  if (roomOf(best) > leftMs) return best;
  const cost = costOf(table, best, request.bytes);
  /** The peer of this rank, or, beyond the last, minus how many there are. */
  const peerAt = (rank: number): number => {
    let seen = 0;
    for (let cell = start; cell < start + reachMs.length; cell++)
      if (roomOf(cell) <= leftMs && costOf(table, cell, request.bytes) === cost && seen++ === rank)
        return cell;
    return -seen;
  };
  const peers = -peerAt(Number.POSITIVE_INFINITY);
  if (peers < 2) return best;
  const firstRank = Math.floor(firstDraw * peers);
  const a = peerAt(firstRank);
  const b = peerAt((firstRank + 1 + Math.floor(otherDraw * (peers - 1))) % peers);
  const difference = timeOf(a) - timeOf(b);
  return difference < 0 || (difference === 0 && a < b) ? a : b;
}
