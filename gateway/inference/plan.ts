/** Which node and level a request goes to, and how long it may take there. */
import type { TableSpec } from '../nodes/table-cache.ts';
import { type CandidateTable, expectedOf } from '../selector/candidate-table.ts';
import { decide } from '../selector/decide.ts';
import { explain } from '../selector/explain.ts';
import type { Rules } from '../selector/rules.ts';
import type { Decision } from '../selector/select.ts';
import type { SelectionRequest } from '../selector/selection-request.ts';
import type { CatalogVersion } from '../storage/catalog.ts';
import type { Course } from './course.ts';
import type { DispatchContext, InferenceRequest } from './inference-request.ts';
import { levelOptions, unknownLevel } from './routing.ts';
import { lengthIn } from './sequence.ts';

/** What no budget holds gets this multiple of its usual time, and never longer than the bound, before it is cut off. */
const INFEASIBLE_SLACK = 4;
const INFEASIBLE_BOUND_MS = 30_000;
/** Requests for each worker from which on the fleet is busy: the next ones meet those that run. */
const BUSY = 0.5;
export interface Plan {
  readonly version: CatalogVersion;
  readonly spec: TableSpec;
  readonly table: CandidateTable;
  readonly selection: SelectionRequest;
  readonly decision: Decision;
}

/** @param failed nodes that this request has tried in vain */
export function plan(
  request: InferenceRequest,
  { fleet, policy, priceOf, random, now, explain: explains }: DispatchContext,
  course: Course,
  failed: ReadonlyMap<string, string>,
): Plan {
  const { model, rules, pinnedLevel, upload, deadline } = request;
  const version = request.route();
  course.version = version;
  if (pinnedLevel !== undefined && !version.levels.some(({ level }) => level === pinnedLevel))
    throw unknownLevel(model.id, String(pinnedLevel), version);
  const { batch, bytes } = upload;
  const length = lengthIn(version, upload.first);
  const spec: TableSpec = {
    model: model.id,
    version: { version: version.version, levels: levelOptions(version) },
    quantile: rules.quantile,
    batch,
    length,
    hopBytes: bytes + fleet.answerBytes({ model: model.id, version: version.version, batch, length }),
    priceOf,
    policyVersion: policy.version,
  };
  const table = fleet.table(spec, failed, now() + deadline.leftMs());
  const budgetLeftMs = deadline.receivedMs + rules.budgetMs - now();
  const selection: SelectionRequest = {
    rules,
    budgetLeftMs,
    costBudgetNanoUsd: rules.costBudgetNanoUsd ?? undefined,
    minQuality: rules.minQuality,
    pinnedLevel,
    pressure: fleet.pressure(),
    caution: fleet.caution(),
    bytes,
    draws: [random(), random()],
  };
  const { decision, shed } = decide(table, selection);
  course.decision = decision;
  course.shed = shed;
  if (explains)
    course.drops = explain(table, selection, decision.kind === 'serve' ? decision.chosen : undefined);
  return { version, spec, table, selection, decision };
}

/** How far down a node may step when it would be late: to the last level below that is still allowed. */
export function lowestAllowed(version: CatalogVersion, rules: Rules, level: number): number {
  const allowed = (at: number) => {
    const row = version.levels[at];
    return row !== undefined && row.sparsity <= rules.maxSparsity && row.quality.value >= rules.minQuality;
  };
  let lowest = level;
  while (lowest > 0 && allowed(lowest - 1)) lowest--;
  return lowest;
}

type Planned = Pick<Plan, 'decision' | 'table' | 'selection'>;

/**
 * Whether a request whose first node was lost is worth sending to this one: it fits, or mostly would be in time. Nothing is promised
 * any more, so what it may take at worst does not count.
 */
export function worthAnother({ decision, table }: Planned, leftMs: number): boolean {
  if (decision.kind !== 'serve') return false;
  const { expectedQueueMs, usualMs } = expectedOf(table, decision.chosen);
  return decision.fits || usualNetworkMs(table, decision.chosen.node) + expectedQueueMs + usualMs <= leftMs;
}

/**
 * From the request's arrival. A request that fits is cut off at its budget. One that is served although it does not fit
 * is bounded too: by the largest of its budget, the policy's default budget, and a multiple of its usual time. In a busy
 * fleet it has its budget, or its usual time where that is longer: there, late answers make those behind them late, too, and
 * with queues of them nothing would be in time any more.
 */
export function timeGranted({ decision, table, selection }: Planned, defaultBudgetMs: number): number {
  const { rules } = selection;
  if (decision.kind !== 'serve' || decision.fits) return rules.budgetMs;
  const { chosen } = decision;
  const usualMs = usualNetworkMs(table, chosen.node) + expectedOf(table, chosen).usualMs;
  const bounded = (ms: number) => Math.min(INFEASIBLE_BOUND_MS, ms);
  if ((selection.pressure ?? 0) >= BUSY) return Math.max(rules.budgetMs, bounded(usualMs));
  return Math.max(rules.budgetMs, defaultBudgetMs, bounded(INFEASIBLE_SLACK * usualMs));
}

function usualNetworkMs(table: CandidateTable, node: string): number {
  return table.usualNetworkMs[table.nodes.indexOf(node)] ?? 0;
}
