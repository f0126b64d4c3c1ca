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
import type { LevelOption } from './candidates.ts';
import type { SelectionRequest } from './selection-request.ts';

export const NONE = -1;

/** Cells of the table, `NONE` where there is none. */
export interface Scan {
  readonly best: number;
  readonly second: number;
  /** Of what is too late, or leaves too little room, while nothing fits: the sparsest, then by the quantile's time. */
  readonly sparsest: number;
  readonly sparsestNext: number;
  /** The same by the usual time: where nothing is promised, what mostly is in time is better than what seldom is very late. */
  readonly likeliest: number;
  readonly likeliestNext: number;
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

function levelAt({ levels, reachMs }: CandidateTable, cell: number): LevelOption {
  return levels[Math.floor(cell / reachMs.length)] as LevelOption;
}

function totalOf({ reachMs, executeMs }: CandidateTable, cell: number): number {
  return (reachMs[cell % reachMs.length] as number) + (executeMs[cell] as number);
}

/**
 * Of the levels in time, whatever room they leave, the best that is quicker than all sparser ones: at some budget it is the sparsest that
 * there is. On the two nodes where it is soonest.
 */
function quickest(table: CandidateTable, request: SelectionRequest): Pick<Scan, 'best' | 'second'> {
  const leftMs = request.budgetLeftMs - request.rules.reserveMs;
  const rows = table.levels
    .map((level, row) => ({ sparsity: level.sparsity, soonest: soonestIn(table, row, request) }))
    .filter(({ soonest }) => soonest.first !== NONE);
  const taken = rows.find(
    ({ sparsity, soonest }) =>
      soonest.firstMs <= leftMs &&
      !rows.some((other) => other.sparsity > sparsity && other.soonest.firstMs <= soonest.firstMs),
  )?.soonest;
  if (taken === undefined) return { best: NONE, second: NONE };
  return { best: taken.first, second: taken.nextMs <= leftMs ? taken.next : NONE };
}

/** Of a level's cells that may be used and can be paid, the two of the least times; none where the level is out of bounds. */
function soonestIn(table: CandidateTable, row: number, request: SelectionRequest): LeastTwo {
  const soonest = new LeastTwo();
  if (!allows(table, row, request)) return soonest;
  const costCap = request.costBudgetNanoUsd ?? Number.POSITIVE_INFINITY;
  const start = row * table.reachMs.length;
  for (let cell = start; cell < start + table.reachMs.length; cell++) {
    const totalMs = totalOf(table, cell);
    // NaN as in `scanned`.
    if (totalMs >= 0 && costOf(table, cell, request.bytes) <= costCap) soonest.take(cell, totalMs);
  }
  return soonest;
}

function costOf({ costNanoUsd, perKiBNanoUsd }: CandidateTable, cell: number, bytes: number): number {
  return (costNanoUsd[cell] as number) + (perKiBNanoUsd[cell] as number) * Math.ceil(bytes / 1024);
}

function scanned(table: CandidateTable, request: SelectionRequest, stretch: number): Scan {
  const { levels, reachMs, executeMs, costNanoUsd, perKiBNanoUsd } = table;
  const { usualNetworkMs, expectedQueueMs, usualMs } = table;
  const { objective, reserveMs } = request.rules;
  const columns = reachMs.length;
  const leftMs = request.budgetLeftMs - reserveMs;
  const costCap = request.costBudgetNanoUsd ?? Number.POSITIVE_INFINITY;
  const kib = Math.ceil(request.bytes / 1024);
  let allowed = 0;
  let considered = 0;
  let overLatency = 0;
  let overCost = 0;
  let tightMs = Number.POSITIVE_INFINITY;
  let tightSparsity = 0;
  const fitting = new TopTwo();
  const late = new TopTwo();
  const likely = new TopTwo();
  /** Of a row, by the quantile's time and by the usual one. */
  const soonest = new LeastTwo();
  const usual = new LeastTwo();
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
    soonest.clear();
    usual.clear();
    const start = row * columns;
    for (let column = 0; column < columns; column++) {
      const cell = start + column;
      const runMs = executeMs[cell] as number;
      const totalMs = (reachMs[column] as number) + stretch * runMs;
      // NaN where the node may not be used or does not serve the level.
      if (!(totalMs >= 0)) continue;
      considered++;
      const cost = (costNanoUsd[cell] as number) + (perKiBNanoUsd[cell] as number) * kib;
      if (cost > costCap) {
        overCost++;
        if (cost < cheapestCost) {
          cheapest = cell;
          cheapestCost = cost;
        }
      } else if (totalMs > leftMs) {
        overLatency++;
        const plainMs = (reachMs[column] as number) + runMs;
        if (plainMs <= leftMs) {
          tightMs = Math.min(tightMs, plainMs);
          tightSparsity = Math.max(tightSparsity, sparsity);
        }
        soonest.take(cell, plainMs);
        const mostlyMs =
          (usualNetworkMs[column] as number) +
          (expectedQueueMs[column] as number) +
          (usualMs[cell] as number);
        usual.take(cell, mostlyMs);
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
    if (soonest.first !== NONE && fitting.best === NONE) {
      late.take(soonest.first, sparsity, soonest.firstMs, soonest.next, sparsity, soonest.nextMs);
      likely.take(usual.first, sparsity, usual.firstMs, usual.next, sparsity, usual.nextMs);
    }
  }
  return {
    best: fitting.best,
    second: fitting.second,
    sparsest: late.best,
    sparsestNext: late.second,
    likeliest: likely.best,
    likeliestNext: likely.second,
    cheapest,
    allowed,
    considered,
    overLatency,
    overCost,
    tightMs,
    tightSparsity,
  };
}

/** The two best cells of the rows so far: the higher score, then the lower price. */
class TopTwo {
  best = NONE;
  bestScore = 0;
  bestPrice = 0;
  second = NONE;
  secondScore = 0;
  secondPrice = 0;

  /** Takes in the two best of a row, the better one first; `next` is `NONE` where a row has but one. */
  take(cell: number, score: number, price: number, next: number, nextScore: number, nextPrice: number): void {
    if (beats(this.best, this.bestScore, this.bestPrice, score, price)) {
      if (next !== NONE && beats(this.best, this.bestScore, this.bestPrice, nextScore, nextPrice))
        this.#setSecond(next, nextScore, nextPrice);
      else this.#setSecond(this.best, this.bestScore, this.bestPrice);
      this.best = cell;
      this.bestScore = score;
      this.bestPrice = price;
    } else if (beats(this.second, this.secondScore, this.secondPrice, score, price))
      this.#setSecond(cell, score, price);
  }

  #setSecond(cell: number, score: number, price: number): void {
    this.second = cell;
    this.secondScore = score;
    this.secondPrice = price;
  }
}

/** The two cells of the least times, of equal ones the first. */
class LeastTwo {
  first = NONE;
  firstMs = Number.POSITIVE_INFINITY;
  next = NONE;
  nextMs = Number.POSITIVE_INFINITY;

  clear(): void {
    this.first = NONE;
    this.firstMs = Number.POSITIVE_INFINITY;
    this.next = NONE;
    this.nextMs = Number.POSITIVE_INFINITY;
  }

  take(cell: number, ms: number): void {
    if (ms < this.firstMs) {
      this.next = this.first;
      this.nextMs = this.firstMs;
      this.first = cell;
      this.firstMs = ms;
    } else if (ms < this.nextMs) {
      this.next = cell;
      this.nextMs = ms;
    }
  }
}

/** Whether a score and, where that is the same, a price are better than those that are held. */
function beats(held: number, heldScore: number, heldPrice: number, score: number, price: number): boolean {
  return held === NONE || score > heldScore || (score === heldScore && price < heldPrice);
}

function scoreOf(objective: SelectionRequest['rules']['objective'], quality: number, cost: number): number {
  if (objective.kind === 'quality-first') return quality;
  return objective.kind === 'cost-first' ? -cost : quality * objective.nanoUsdPerQuality - cost;
}

/** Whether a level lies within the bounds of policy and request. */
export function allows(
  table: CandidateTable,
  row: number,
  { rules, minQuality, pinnedLevel }: SelectionRequest,
): boolean {
  const level = table.levels[row];
  return (
    level !== undefined &&
    (pinnedLevel === undefined || level.level === pinnedLevel) &&
    level.sparsity >= rules.minSparsity &&
    level.sparsity <= rules.maxSparsity &&
    (minQuality === undefined || level.quality >= minQuality)
  );
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
