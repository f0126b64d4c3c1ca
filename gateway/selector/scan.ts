/**
 * Looks at every (level, node) that a request may use and keeps the few that a decision needs. Flat arrays, nothing
 * allocated for any of them: for large fleets this is all that a decision costs.
 *
 * A level is taken when its run would fit even if it took longer, by as much as the fleet is busy (`stretchOf`): short runs
 * leave room for those who come next, and a burst goes down the path together instead of failing its last. Where no level
 * leaves that much, the sparsest that is in time and can be paid is taken: nobody is refused for others' sake. What a smaller budget of
 * either kind gets so, a larger one gets too: where those with room are worse, a level is taken without it that no sparser one is both as
 * quick as and as cheap.
 *
 * Within a row the quality is the same, so under every objective the cheaper node is better, then the quicker. Each row
 * therefore only brings its two best, which are then held against those of the rows before.
 */
import type { CandidateTable } from './candidate-table.ts';
import type { LevelOption } from './candidates.ts';
import { allows, costCapOf, costOf, kibOf, leastCostOf, leftOf, levelAt, NONE } from './cells.ts';
import { columnsByReach } from './reach.ts';
import type { SelectionRequest } from './selection-request.ts';
import { TopTwo } from './two-best.ts';
import { withoutRoom } from './without-room.ts';

/** Cells of the table, `NONE` where there is none. */
export interface Scan {
  readonly best: number;
  readonly second: number;
  /** Levels within the bounds. */
  readonly allowed: number;
  readonly considered: number;
  readonly overLatency: number;
  readonly overCost: number;
  /** The most quality of what is over the latency budget only for the room that it should leave; minus infinity without any. */
  readonly tightQuality: number;
}

/** For each request that a worker has already, a run has to fit as if it took this much of itself longer. */
const ROOM = 2;

/** How many times its predicted time a run has to fit the budget with. */
export function stretchOf({ pressure = 0, caution = 1 }: SelectionRequest): number {
  return caution * (1 + ROOM * pressure);
}

export function scan(table: CandidateTable, request: SelectionRequest): Scan {
  const found = scanned(table, request, stretchOf(request));
  const { best, tightQuality } = found;
  const quality = best === NONE ? Number.NEGATIVE_INFINITY : levelAt(table, best).quality;
  const mayMatter = best === NONE || request.rules.objective.kind === 'quality-first';
  if (!mayMatter || tightQuality <= quality) return found;
  const better = withoutRoom(table, request, quality);
  if (better.best === NONE) return found;
  const next = better.second === NONE ? best : better.second;
  return { ...found, best: better.best, second: best === NONE ? better.second : next };
}

function scanned(table: CandidateTable, request: SelectionRequest, stretch: number): Scan {
  const { levels, reachMs, executeMs, levelLeastMs } = table;
  const { objective } = request.rules;
  const columns = reachMs.length;
  const leftMs = leftOf(request);
  const costCap = costCapOf(request);
  const kib = kibOf(request);
  const { near, far, soonestMs } = columnsByReach(table, leftMs);
  const { rows, promises, leastCosts } = rowsByPromise(table, request, kib);
  let fit = 0;
  let overLatency = 0;
  let overCost = 0;
  let tightQuality = Number.NEGATIVE_INFINITY;
  const fitting = new TopTwo();

  for (const row of rows) {
    const promise = promises[row] as number;
    if (fitting.second !== NONE) {
      // What comes promises no more, so from here on nothing could be the best or the second any more.
      if (promise < fitting.secondScore) break;
      const isDearer = (leastCosts[row] as number) >= fitting.secondPrice;
      if (promise === fitting.secondScore && isDearer && row * columns > fitting.second) continue;
    }
    const start = row * columns;
    if ((leastCosts[row] as number) > costCap) {
      overCost += served(table, start, near) + served(table, start, far);
      continue;
    }
    overLatency += served(table, start, far);
    if (soonestMs + (levelLeastMs[row] as number) > leftMs) {
      overLatency += served(table, start, near);
      continue;
    }
    const { quality } = levels[row] as LevelOption;
    let first = NONE;
    let firstCost = Number.POSITIVE_INFINITY;
    let firstMs = 0;
    let other = NONE;
    let otherCost = Number.POSITIVE_INFINITY;
    let otherMs = 0;
    for (let i = 0; i < near.length; i++) {
      const column = near[i] as number;
      const cell = start + column;
      const runMs = executeMs[cell] as number;
      const totalMs = (reachMs[column] as number) + stretch * runMs;
      const isLate = totalMs > leftMs;
      const plainMs = (reachMs[column] as number) + runMs;
      if (isLate && plainMs > leftMs) {
        overLatency++;
        continue;
      }
      // NaN where the level is not served there.
      if (!(totalMs >= 0)) continue;
      const cost = costOf(table, cell, kib);
      if (cost > costCap) {
        overCost++;
      } else if (isLate) {
        overLatency++;
        tightQuality = Math.max(tightQuality, quality);
      } else {
        fit++;
        if (cost < firstCost || (cost === firstCost && totalMs < firstMs)) {
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
  const considered = fit + overLatency + overCost;
  const { best, second } = fitting;
  return { best, second, allowed: rows.length, considered, overLatency, overCost, tightQuality };
}

/** On how many of these nodes the level is served whose row starts there. */
function served({ unserved, executeMs }: CandidateTable, start: number, columns: readonly number[]): number {
  if (unserved === 0) return columns.length;
  let count = 0;
  for (const column of columns) if (!Number.isNaN(executeMs[start + column])) count++;
  return count;
}

interface Rows {
  /** Those within the bounds: what promises most first, of equal ones the better level. */
  readonly rows: readonly number[];
  /** By row: no cell of it has a higher score ... */
  readonly promises: readonly number[];
  /** ... or costs less. */
  readonly leastCosts: readonly number[];
}

function rowsByPromise(table: CandidateTable, request: SelectionRequest, kib: number): Rows {
  const { levels } = table;
  const { objective } = request.rules;
  const rows: number[] = [];
  const leastCosts: number[] = [];
  const promises: number[] = [];
  for (let row = 0; row < levels.length; row++) {
    const leastCost = leastCostOf(table, row, kib);
    leastCosts.push(leastCost);
    promises.push(scoreOf(objective, (levels[row] as LevelOption).quality, leastCost));
    if (allows(table, row, request)) rows.push(row);
  }
  // By quality they are in order.
  if (objective.kind !== 'quality-first')
    rows.sort((a, b) => (promises[b] as number) - (promises[a] as number) || a - b);
  return { rows, promises, leastCosts };
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
  const leftMs = leftOf(request);
  const stretch = stretchOf(request);
  const start = best - (best % reachMs.length);
  const timeOf = (cell: number) => (reachMs[cell - start] as number) + (executeMs[cell] as number);
  const roomOf = (cell: number) => timeOf(cell) + (stretch - 1) * (executeMs[cell] as number);
  // Without room to spare it is the quickest or none.
  if (roomOf(best) > leftMs) return best;
  const kib = kibOf(request);
  const cost = costOf(table, best, kib);
  const peers: number[] = [];
  for (let cell = start; cell < start + reachMs.length; cell++)
    if (roomOf(cell) <= leftMs && costOf(table, cell, kib) === cost) peers.push(cell);
  if (peers.length < 2) return best;
  const firstRank = Math.floor(firstDraw * peers.length);
  const otherRank = (firstRank + 1 + Math.floor(otherDraw * (peers.length - 1))) % peers.length;
  const [a, b] = [peers[firstRank] as number, peers[otherRank] as number];
  const difference = timeOf(a) - timeOf(b);
  return difference < 0 || (difference === 0 && a < b) ? a : b;
}
