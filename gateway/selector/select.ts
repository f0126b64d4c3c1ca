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
  let allowed = 0;
  let considered = 0;
  let overLatency = 0;
  let overCost = 0;
  let best = NONE;
  let second = NONE;
  let sparsest = NONE;
  let sparsestNext = NONE;
  let cheapest = NONE;

  for (let row = 0; row < levels.length; row++) {
    if (!allows(table, row, request)) continue;
    allowed++;
    // Rows come by falling quality, so from here on nothing could be the best or the second any more.
    if (qualityFirst && second !== NONE && qualityOf(table, row) < qualityOf(table, rowOf(table, second)))
      break;
    const end = (row + 1) * columns;
    for (let cell = row * columns, column = 0; cell < end; cell++, column++) {
      const execution = executeMs[cell] as number;
      if (usable[column] === 0 || Number.isNaN(execution)) continue;
      considered++;
      const cost = costOf(table, cell, bytes);
      if (cost > costCap) {
        overCost++;
        if (cheapest === NONE || cost < costOf(table, cheapest, bytes)) cheapest = cell;
        continue;
      }
      const totalMs = (networkMs[column] as number) + (waitMs[column] as number) + execution;
      if (totalMs > leftMs) {
        overLatency++;
        if (best !== NONE) continue;
        if (sparsest === NONE || sparser(table, cell, sparsest)) {
          sparsestNext = sparsest;
          sparsest = cell;
        } else if (sparsestNext === NONE || sparser(table, cell, sparsestNext)) sparsestNext = cell;
        continue;
      }
      if (best === NONE || better(table, cell, best, request)) {
        second = best;
        best = cell;
      } else if (second === NONE || better(table, cell, second, request)) second = cell;
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

/** The objective first; then cost, FLOPs and time; cells are in order of row and name, which makes the order total. */
function better(table: CandidateTable, a: number, b: number, { rules, bytes }: SelectionRequest): boolean {
  const { objective } = rules;
  const rowA = rowOf(table, a);
  const rowB = rowOf(table, b);
  const quality = qualityOf(table, rowA) - qualityOf(table, rowB);
  const cost = costOf(table, a, bytes) - costOf(table, b, bytes);
  if (objective.kind === 'weighted') {
    const gain = quality * objective.nanoUsdPerQuality - cost;
    if (gain !== 0) return gain > 0;
  } else if (objective.kind === 'quality-first' && quality !== 0) return quality > 0;
  if (cost !== 0) return cost < 0;
  if (quality !== 0) return quality > 0;
  // Rows of one quality stand in order of FLOPs.
  if (rowA !== rowB) return rowA < rowB;
  return timeOf(table, a) < timeOf(table, b);
}

function sparser(table: CandidateTable, a: number, b: number): boolean {
  const difference =
    (table.levels[rowOf(table, a)]?.sparsity ?? 0) - (table.levels[rowOf(table, b)]?.sparsity ?? 0);
  return difference > 0 || (difference === 0 && timeOf(table, a) < timeOf(table, b));
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
