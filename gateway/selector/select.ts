/**
 * Picks the level and node of a request: drop what the policy and the budgets rule out, take the best of the rest. Pure:
 * no I/O, no clock, no randomness of its own, so a decision can be replayed. One pass over flat arrays that allocates
 * nothing until the decision is made; `explain.ts` says afterwards why each of the others was not taken.
 */
import type { CandidateTable } from './candidate-table.ts';
import type { Prediction } from './predict.ts';
import type { Rules } from './rules.ts';

export interface SelectionRequest {
  readonly rules: Rules;
  /** What is left of the latency budget. */
  readonly budgetLeftMs: number;
  /** Whole nano-dollars; nothing dearer is ever taken. */
  readonly costBudgetNanoUsd?: number | undefined;
  readonly minQuality?: number | undefined;
  /** Only this level may serve. */
  readonly pinnedLevel?: number | undefined;
  /** Of the body, for prices that go by them. */
  readonly bytes: number;
  /**
   * Two numbers in [0, 1). With them, nodes that are equally good but for their time are not all left for the quickest:
   * the quicker of two of them, drawn at random, is taken, so that gateways which know the same do not all send there.
   */
  readonly draws?: readonly [number, number] | undefined;
}

export interface Candidate {
  readonly level: number;
  readonly node: string;
  readonly quality: number;
  readonly sparsity: number;
  readonly costNanoUsd: number;
  readonly predicted: Prediction;
}

/** Why (level, node) pairs of usable nodes and allowed levels were dropped, and how many were looked at. */
export interface Tally {
  readonly considered: number;
  readonly overLatency: number;
  readonly overCost: number;
}

export type Decision =
  | {
      readonly kind: 'serve';
      /** Whether the prediction fits the latency budget, or the policy serves it all the same. */
      readonly fits: boolean;
      readonly chosen: Candidate;
      /** What would have been taken without it. */
      readonly runnerUp: Candidate | undefined;
      readonly tally: Tally;
    }
  | {
      readonly kind: 'infeasible';
      /** What ruled the last candidates out: the least budget of the class, bounds on levels, cost, or latency. */
      readonly by: 'class' | 'bounds' | 'cost' | 'latency';
      /** The sparsest (by latency) or the cheapest (by cost) that was allowed and could have been served. */
      readonly nearest: Candidate | undefined;
      readonly tally: Tally;
    }
  | { readonly kind: 'no-node' };

const NONE = -1;
const NOT_LOOKED_AT: Tally = { considered: 0, overLatency: 0, overCost: 0 };

export function select(table: CandidateTable, request: SelectionRequest): Decision {
  const { levels, networkMs, waitMs, usable, executeMs } = table;
  const { rules, bytes } = request;
  if (rules.budgetMs < rules.minBudgetMs)
    return { kind: 'infeasible', by: 'class', nearest: undefined, tally: NOT_LOOKED_AT };
  const { objective } = rules;
  const columns = usable.length;
  const leftMs = request.budgetLeftMs - rules.reserveMs;
  const costCap = request.costBudgetNanoUsd ?? Number.POSITIVE_INFINITY;
  const qualityFirst = objective.kind === 'quality-first';
  const rate = objective.kind === 'weighted' ? objective.nanoUsdPerQuality : 0;
  const costFirst = objective.kind === 'cost-first';
  const kib = Math.ceil(bytes / 1024);
  let allowed = 0;
  let considered = 0;
  let overLatency = 0;
  let overCost = 0;
  let best = NONE;
  let bestScore = Number.NEGATIVE_INFINITY;
  let bestCost = 0;
  let bestMs = 0;
  let bestRow = NONE;
  let second = NONE;
  let secondScore = Number.NEGATIVE_INFINITY;
  let secondCost = 0;
  let secondMs = 0;
  let secondRow = NONE;
  let sparsest = NONE;
  let sparsestNext = NONE;
  let sparsestShare = Number.NEGATIVE_INFINITY;
  let sparsestMs = 0;
  let nextShare = Number.NEGATIVE_INFINITY;
  let nextMs = 0;
  let cheapest = NONE;
  let cheapestCost = Number.POSITIVE_INFINITY;

  for (let row = 0; row < levels.length; row++) {
    if (!allows(table, row, request)) continue;
    allowed++;
    const quality = qualityOf(table, row);
    const { sparsity } = levels[row] as { sparsity: number };
    // Rows come by falling quality, so from here on nothing could be the best or the second any more.
    if (qualityFirst && second !== NONE && quality < secondScore) break;
    const end = (row + 1) * columns;
    for (let cell = row * columns, column = 0; cell < end; cell++, column++) {
      const execution = executeMs[cell] as number;
      // NaN says that the level is not served there.
      if (usable[column] === 0 || !(execution >= 0)) continue;
      considered++;
      const cost = (table.costNanoUsd[cell] as number) + (table.perKiBNanoUsd[cell] as number) * kib;
      if (cost > costCap) {
        overCost++;
        if (cost < cheapestCost) {
          cheapest = cell;
          cheapestCost = cost;
        }
        continue;
      }
      const totalMs = (networkMs[column] as number) + (waitMs[column] as number) + execution;
      if (totalMs > leftMs) {
        overLatency++;
        if (best !== NONE) continue;
        if (sparsity > sparsestShare || (sparsity === sparsestShare && totalMs < sparsestMs)) {
          sparsestNext = sparsest;
          nextShare = sparsestShare;
          nextMs = sparsestMs;
          sparsest = cell;
          sparsestShare = sparsity;
          sparsestMs = totalMs;
        } else if (
          sparsestNext === NONE ||
          sparsity > nextShare ||
          (sparsity === nextShare && totalMs < nextMs)
        ) {
          sparsestNext = cell;
          nextShare = sparsity;
          nextMs = totalMs;
        }
        continue;
      }
      // The objective first; then cost, FLOPs (the order of the rows) and time; then the order of names.
      const score = qualityFirst ? quality : costFirst ? -cost : quality * rate - cost;
      if (
        second !== NONE &&
        (score < secondScore ||
          (score === secondScore &&
            (cost > secondCost || (cost === secondCost && (row !== secondRow || totalMs >= secondMs)))))
      )
        continue;
      if (
        best === NONE ||
        score > bestScore ||
        (score === bestScore &&
          (cost < bestCost || (cost === bestCost && row === bestRow && totalMs < bestMs)))
      ) {
        second = best;
        secondScore = bestScore;
        secondCost = bestCost;
        secondMs = bestMs;
        secondRow = bestRow;
        best = cell;
        bestScore = score;
        bestCost = cost;
        bestMs = totalMs;
        bestRow = row;
      } else {
        second = cell;
        secondScore = score;
        secondCost = cost;
        secondMs = totalMs;
        secondRow = row;
      }
    }
  }

  const candidate = (cell: number) => (cell === NONE ? undefined : candidateAt(table, cell, bytes));
  const tally = { considered, overLatency, overCost };
  if (best !== NONE) {
    const drawn = request.draws === undefined ? best : drawnPeer(table, best, leftMs, request.draws, bytes);
    return {
      kind: 'serve',
      fits: true,
      chosen: candidateAt(table, drawn, bytes),
      runnerUp: candidate(drawn === best ? second : best),
      tally,
    };
  }
  if (allowed === 0 && usable.includes(1))
    return { kind: 'infeasible', by: 'bounds', nearest: undefined, tally };
  if (considered === 0) return { kind: 'no-node' };
  if (sparsest === NONE) return { kind: 'infeasible', by: 'cost', nearest: candidate(cheapest), tally };
  if (rules.infeasible === 'serve-sparsest')
    return {
      kind: 'serve',
      fits: false,
      chosen: candidateAt(table, sparsest, bytes),
      runnerUp: candidate(sparsestNext),
      tally,
    };
  return { kind: 'infeasible', by: 'latency', nearest: candidate(sparsest), tally };
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

export function candidateAt(table: CandidateTable, cell: number, bytes: number): Candidate {
  const column = cell % table.nodes.length;
  const level = table.levels[rowOf(table, cell)];
  const node = table.nodes[column];
  if (level === undefined || node === undefined) throw new Error(`The table has no cell ${cell}.`);
  const networkMs = table.networkMs[column] as number;
  const queueMs = table.waitMs[column] as number;
  const executeMs = table.executeMs[cell] as number;
  return {
    level: level.level,
    node,
    quality: level.quality,
    sparsity: level.sparsity,
    costNanoUsd: costOf(table, cell, bytes),
    predicted: { networkMs, queueMs, executeMs, totalMs: networkMs + queueMs + executeMs },
  };
}

/** The quicker of two nodes that serve `best`'s level at its cost and within the budget; `best` when there is no other. */
function drawnPeer(
  table: CandidateTable,
  best: number,
  leftMs: number,
  [first, other]: readonly [number, number],
  bytes: number,
): number {
  const columns = table.nodes.length;
  const start = best - (best % columns);
  const cost = costOf(table, best, bytes);
  const isPeer = (cell: number) =>
    table.usable[cell - start] === 1 && costOf(table, cell, bytes) === cost && timeOf(table, cell) <= leftMs;
  let peers = 0;
  for (let cell = start; cell < start + columns; cell++) if (isPeer(cell)) peers++;
  if (peers < 2) return best;
  const firstRank = Math.floor(first * peers);
  const otherRank = (firstRank + 1 + Math.floor(other * (peers - 1))) % peers;
  let a = best;
  let b = best;
  for (let cell = start, rank = 0; cell < start + columns; cell++) {
    if (!isPeer(cell)) continue;
    if (rank === firstRank) a = cell;
    if (rank === otherRank) b = cell;
    rank++;
  }
  const difference = timeOf(table, a) - timeOf(table, b);
  return difference < 0 || (difference === 0 && a < b) ? a : b;
}

function rowOf(table: CandidateTable, cell: number): number {
  return Math.floor(cell / table.nodes.length);
}

function qualityOf(table: CandidateTable, row: number): number {
  return (table.levels[row] as { quality: number }).quality;
}

/** NaN where the level is not served, which no comparison holds for. */
function timeOf(table: CandidateTable, cell: number): number {
  const column = cell % table.nodes.length;
  return (
    (table.networkMs[column] as number) + (table.waitMs[column] as number) + (table.executeMs[cell] as number)
  );
}

function costOf(table: CandidateTable, cell: number, bytes: number): number {
  return (
    (table.costNanoUsd[cell] as number) + (table.perKiBNanoUsd[cell] as number) * Math.ceil(bytes / 1024)
  );
}
