/** The whole decision on one request: whether the fleet has room for its class, then which level on which node. Pure. */
import type { CandidateTable } from './candidate-table.ts';
import { type Candidate, type Decision, select } from './select.ts';
import type { SelectionRequest } from './selection-request.ts';

export interface Decided {
  readonly decision: Decision;
  /** The fleet's work was above what the class may add to. */
  readonly shed: boolean;
}

export function decide(table: CandidateTable, selection: SelectionRequest): Decided {
  const { rules, pressure = 0 } = selection;
  const { shedAbove } = rules;
  const shed = shedAbove !== Number.POSITIVE_INFINITY && pressure >= shedAbove;
  return { decision: shed ? givingWay(table, selection) : select(table, selection), shed };
}

/** The sparsest allowed level where the class takes that under load, and it fits or need not. */
function givingWay(table: CandidateTable, selection: SelectionRequest): Decision {
  const { rules, budgetLeftMs } = selection;
  const sparsest = select(table, {
    ...selection,
    budgetLeftMs: Number.NEGATIVE_INFINITY,
    rules: { ...rules, infeasible: 'refuse' },
  });
  if (sparsest.kind !== 'infeasible' || sparsest.by !== 'latency' || sparsest.nearest === undefined)
    return sparsest;
  const { nearest, nearestNext, tally } = sparsest;
  const isInTime = ({ predicted }: Candidate) => predicted.totalMs <= budgetLeftMs - rules.reserveMs;
  const fits = isInTime(nearest);
  if (rules.overload === 'serve-sparsest' && (fits || rules.infeasible === 'serve-sparsest')) {
    const runnerUp = nearestNext !== undefined && (!fits || isInTime(nearestNext)) ? nearestNext : undefined;
    return { kind: 'serve', fits, chosen: nearest, runnerUp, tally };
  }
  return sparsest;
}
