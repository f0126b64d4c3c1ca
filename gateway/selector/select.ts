/**
 * Picks the level and node of a request: drop what the policy and the budgets rule out, take the best of the rest. Pure:
 * no I/O, no clock, no randomness of its own, so a decision can be replayed. `scan.ts` looks at all candidates;
 * `explain.ts` says afterwards why each of the others was not taken.
 */
import type { CandidateTable } from './candidate-table.ts';
import { NONE } from './cells.ts';
import { cheapest, likeliest, sparsest } from './late.ts';
import type { Prediction } from './predict.ts';
import { drawnPeer, scan } from './scan.ts';
import type { SelectionRequest } from './selection-request.ts';

export interface Candidate {
  readonly level: number;
  readonly node: string;
  readonly quality: number;
  readonly sparsity: number;
  readonly costNanoUsd: number;
  readonly predicted: Prediction;
}

/** How many (level, node) pairs of usable nodes and allowed levels could have been better, and why they were dropped: of what is over both budgets either is told. */
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
      /** By latency: what would be the nearest without that one. */
      readonly nearestNext?: Candidate | undefined;
      readonly tally: Tally;
    }
  | { readonly kind: 'no-node' };

const NOT_LOOKED_AT: Tally = { considered: 0, overLatency: 0, overCost: 0 };

export function select(table: CandidateTable, request: SelectionRequest): Decision {
  const { rules, bytes } = request;
  if (rules.budgetMs < rules.minBudgetMs)
    return { kind: 'infeasible', by: 'class', nearest: undefined, tally: NOT_LOOKED_AT };
  const found = scan(table, request);
  const { best, second, allowed, considered, overLatency, overCost } = found;
  const tally: Tally = { considered, overLatency, overCost };
  const candidate = (cell: number) => (cell === NONE ? undefined : candidateAt(table, cell, bytes));
  if (best !== NONE) {
    const drawn = drawnPeer(table, best, request);
    return {
      kind: 'serve',
      fits: true,
      chosen: candidateAt(table, drawn, bytes),
      runnerUp: candidate(drawn === best ? second : best),
      tally,
    };
  }
  if (allowed === 0 && table.usable.includes(1))
    return { kind: 'infeasible', by: 'bounds', nearest: undefined, tally };
  if (tally.considered === 0) return { kind: 'no-node' };
  const late = overLatency === 0 ? undefined : sparsest(table, request);
  if (late === undefined || late.best === NONE)
    return { kind: 'infeasible', by: 'cost', nearest: candidate(cheapest(table, request)), tally };
  if (rules.infeasible === 'serve-sparsest') {
    const likely = likeliest(table, request);
    return {
      kind: 'serve',
      fits: false,
      chosen: candidateAt(table, likely.best, bytes),
      runnerUp: candidate(likely.second),
      tally,
    };
  }
  const [nearest, nearestNext] = [candidate(late.best), candidate(late.second)];
  return { kind: 'infeasible', by: 'latency', nearest, nearestNext, tally };
}

export function candidateAt(table: CandidateTable, cell: number, bytes: number): Candidate {
  const column = cell % table.nodes.length;
  const level = table.levels[Math.floor(cell / table.nodes.length)];
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
    costNanoUsd:
      (table.costNanoUsd[cell] as number) + (table.perKiBNanoUsd[cell] as number) * Math.ceil(bytes / 1024),
    predicted: { networkMs, queueMs, executeMs, totalMs: networkMs + queueMs + executeMs },
  };
}
