/**
 * One inference: select, forward, once more on another node if the first is gone and time is left, and never past the
 * deadline.
 *
 *   overloaded? ─> select ─> set money aside ─> send ──answered──────────────────────> answer
 *                    ^                           │ └─ slow ─> send to a second node ─> the first good answer
 *                    └──── the node failed, and another fits what is left
 */
import { SppError } from '../../schema/errors.ts';
import type { TableSpec } from '../nodes/table-cache.ts';
import { type CandidateTable, expectedOf } from '../selector/candidate-table.ts';
import { decide } from '../selector/decide.ts';
import { explain } from '../selector/explain.ts';
import type { Rules } from '../selector/rules.ts';
import type { Decision } from '../selector/select.ts';
import type { SelectionRequest } from '../selector/selection-request.ts';
import type { CatalogModel, CatalogVersion } from '../storage/catalog.ts';
import type { VersionedPolicy } from '../storage/policies.ts';
import { type AttemptContext, type AttemptRequest, type AttemptResult, attempt } from './attempt.ts';
import { type Deadline, deadline as newDeadline } from './deadline.ts';
import type { DecisionRecord } from './decision-record.ts';
import { type HedgeCredit, hedged } from './hedging.ts';
import { clientResponse, declined } from './node-answer.ts';
import { noNode, overloaded, refusal } from './refusals.ts';
import { type Reserve, unlimited } from './reservation.ts';
import { levelOptions, unknownLevel } from './routing.ts';
import type { Upload } from './upload.ts';

export interface InferenceRequest {
  readonly id: string;
  readonly model: CatalogModel;
  /** The artifact version to go to, asked anew for a second try. */
  readonly route: () => CatalogVersion;
  readonly pinnedLevel: number | undefined;
  /** What the policy and the request's headers say. */
  readonly rules: Rules;
  /** As the client sent it; undefined where the policy's default holds. */
  readonly askedBudgetMs: number | undefined;
  readonly upload: Upload;
  /** Handed on to the node. */
  readonly headers: Readonly<Record<string, string>>;
  readonly deadline: Deadline;
  /** Headers of the answer that are known before it. */
  readonly told: ReadonlyMap<string, string>;
}

export interface DispatchContext extends AttemptContext {
  readonly policy: VersionedPolicy;
  readonly hedges: HedgeCredit;
  /** Share of requests of which a copy goes to a node that nothing was learned of lately. */
  readonly probeShare: number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  readonly reserve?: Reserve;
  /** Whether `observe` gets the reasons against each candidate. */
  readonly explain?: boolean;
  /** Told of each request once, when it is over. */
  readonly observe?: (record: DecisionRecord) => void;
}

const ATTEMPTS = 2;
/** What no budget holds gets this multiple of its predicted time, and never longer than the bound, before it is cut off. */
const INFEASIBLE_SLACK = 4;
const INFEASIBLE_BOUND_MS = 30_000;
/** A probe is a request of its own, which nobody waits for. */
const PROBE_BOUND_MS = 5000;

/** What has happened to a request so far. */
interface Course {
  version: CatalogVersion | undefined;
  decision: Decision | undefined;
  drops: DecisionRecord['drops'] | undefined;
  shed: boolean;
  result: AttemptResult | undefined;
  readonly attempts: string[];
  hedges: number;
  selectMs: number;
}

/**
 * @throws `budget-infeasible` or `cost-infeasible` before anything is sent, `budget-overrun` after, `overloaded`,
 *   `no-node`, `unknown-level`, `upstream-failed`
 */
export async function dispatch(request: InferenceRequest, context: DispatchContext): Promise<Response> {
  const course: Course = {
    version: undefined,
    decision: undefined,
    drops: undefined,
    shed: false,
    result: undefined,
    attempts: [],
    hedges: 0,
    selectMs: 0,
  };
  try {
    const response = await request.deadline.bound(run(request, context, course));
    context.observe?.(recordOf(request, context, course, response.status));
    return response;
  } catch (error) {
    const status = error instanceof SppError ? error.status : 500;
    context.observe?.(recordOf(request, context, course, status));
    throw error;
  }
}

async function run(request: InferenceRequest, context: DispatchContext, course: Course): Promise<Response> {
  const { rules, deadline } = request;
  const selectStartedMs = context.now();
  const failed = new Map<string, string>();
  let refused: Response | undefined;
  for (let count = 1; count <= ATTEMPTS; count++) {
    const planned = plan(request, context, course, failed);
    const { decision } = planned;
    if (decision.kind !== 'serve') {
      if (count > 1) break;
      throw course.shed ? overloaded(context.fleet.pressure(), rules) : refusal(decision, rules);
    }
    if (count === 1) deadline.grant(timeGranted(decision, request, context));
    // A second node only when it can still be in time, or nobody expected the first to be.
    else if (!decision.fits && deadline.leftMs() < decision.chosen.predicted.totalMs) break;
    course.selectMs = context.now() - selectStartedMs;
    const first = await started(planned, request, context, course);
    if (count === 1) probe(planned, request, context);
    const result = await withHedge(first, planned, failed, request, context, course);
    const { forwarded, chosen } = result;
    course.result = result;
    if (forwarded.kind === 'stopped') throw new Error('A request was stopped that nothing else answers.');
    if (forwarded.kind === 'unreached') {
      if (!request.upload.repeatable) break;
      failed.set(chosen.node, 'lost the connection');
      continue;
    }
    const { answer } = forwarded;
    const response = clientResponse(answer, {
      level: result.level,
      version: planned.version,
      versions: request.model.versions,
      policyVersion: context.policy.version,
      decision: decisionName(decision, request, course),
      selectMs: course.selectMs,
      budgetRemainingMs: deadline.receivedMs + rules.budgetMs - context.now(),
      costNanoUsd: result.costNanoUsd,
      told: request.told,
    });
    if (!declined(answer) || !request.upload.repeatable) {
      if (answer.body.kind === 'whole') deadline.release();
      return response;
    }
    failed.set(chosen.node, `declined with ${answer.status}`);
    refused = response;
  }
  if (refused !== undefined) return refused;
  throw noNode();
}

interface Plan {
  readonly version: CatalogVersion;
  readonly spec: TableSpec;
  readonly table: CandidateTable;
  readonly selection: SelectionRequest;
  readonly decision: Decision;
}

/** @param failed nodes that this request has tried in vain */
function plan(
  request: InferenceRequest,
  { fleet, policy, priceOf, random, now, ...context }: DispatchContext,
  course: Course,
  failed: ReadonlyMap<string, string>,
): Plan {
  const { model, rules, pinnedLevel, upload, deadline } = request;
  const version = request.route();
  course.version = version;
  if (pinnedLevel !== undefined && !version.levels.some(({ level }) => level === pinnedLevel))
    throw unknownLevel(model.id, String(pinnedLevel), version);
  const spec: TableSpec = {
    model: model.id,
    version: { version: version.version, levels: levelOptions(version) },
    quantile: rules.quantile,
    batch: upload.batch,
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
    bytes: upload.bytes,
    draws: [random(), random()],
  };
  const pressure = rules.shedAbove === Number.POSITIVE_INFINITY ? 0 : fleet.pressure();
  const { decision, shed } = decide(table, selection, pressure);
  course.decision = decision;
  course.shed = shed;
  if (context.explain)
    course.drops = explain(table, selection, decision.kind === 'serve' ? decision.chosen : undefined);
  return { version, spec, table, selection, decision };
}

async function started(
  { version, spec, table, selection, decision }: Plan,
  request: InferenceRequest,
  context: DispatchContext,
  course: Course,
) {
  if (decision.kind !== 'serve') throw new Error('Only what is to be served can be sent.');
  const { chosen } = decision;
  const reserve = context.reserve ?? unlimited;
  const reservation = await reserve(chosen.costNanoUsd);
  course.attempts.push(chosen.node);
  const sent: AttemptRequest = {
    chosen,
    minLevel: request.pinnedLevel ?? lowestAllowed(version, selection.rules, chosen.level),
    ...expectedOf(table, chosen),
    model: spec.model,
    version: spec.version.version,
    batch: spec.batch,
    upload: request.upload,
    headers: request.headers,
    deadline: request.deadline,
    reservation,
  };
  return attempt(sent, context);
}

/** How far down a node may step when it would be late: to the last level below that is still allowed. */
function lowestAllowed(version: CatalogVersion, rules: Rules, level: number): number {
  const allowed = (at: number) => {
    const row = version.levels[at];
    return row !== undefined && row.sparsity <= rules.maxSparsity && row.quality.value >= rules.minQuality;
  };
  let lowest = level;
  while (lowest > 0 && allowed(lowest - 1)) lowest--;
  return lowest;
}

async function withHedge(
  first: Awaited<ReturnType<typeof started>>,
  { decision }: Plan,
  failed: ReadonlyMap<string, string>,
  request: InferenceRequest,
  context: DispatchContext,
  course: Course,
): Promise<AttemptResult> {
  const { rules, upload } = request;
  if (rules.hedgeShare === 0 || !upload.repeatable || decision.kind !== 'serve' || !decision.fits)
    return first.done;
  const { chosen } = decision;
  context.hedges.earn(rules.hedgeShare);
  const second = async () => {
    if (!context.hedges.spend()) return undefined;
    const without = new Map([...failed, [chosen.node, 'is slow with this request']]);
    const planned = plan(request, context, course, without);
    // The record tells of the choice that was made first.
    course.decision = decision;
    if (planned.decision.kind === 'serve' && planned.decision.fits) {
      const other = await started(planned, request, context, course).catch(() => undefined);
      if (other !== undefined) {
        course.hedges++;
        return other;
      }
    }
    context.hedges.giveBack();
    return undefined;
  };
  return hedged(first, chosen.predicted.totalMs, second, isGood);
}

function isGood({ forwarded }: AttemptResult): boolean {
  return forwarded.kind === 'answered' && !declined(forwarded.answer) && forwarded.answer.status < 500;
}

/** Sends a copy to a node that has to show how it is. Nobody waits for it, and nobody pays. */
function probe({ spec, table, decision }: Plan, request: InferenceRequest, context: DispatchContext): void {
  const { upload } = request;
  if (!upload.repeatable || decision.kind !== 'serve') return;
  const { chosen } = decision;
  const node = context.fleet.probeTarget(spec, chosen.node, context.random() < context.probeShare);
  if (node === undefined) return;
  const own = newDeadline(context.now(), PROBE_BOUND_MS, context.now);
  const { done } = attempt(
    {
      chosen: { ...chosen, node, costNanoUsd: 0 },
      minLevel: chosen.level,
      ...expectedOf(table, { ...chosen, node }),
      model: spec.model,
      version: spec.version.version,
      batch: spec.batch,
      upload,
      headers: request.headers,
      deadline: own,
      reservation: { settle() {}, refund() {} },
      probe: true,
    },
    context,
  );
  context.background.waitUntil(done.finally(() => own.release()));
}

function decisionName(
  { fits }: Extract<Decision, { kind: 'serve' }>,
  { pinnedLevel }: InferenceRequest,
  { shed }: Course,
): string {
  if (shed) return 'overload-served-sparsest';
  if (fits) return 'fits';
  return pinnedLevel === undefined ? 'infeasible-served-sparsest' : 'infeasible-served-pinned';
}

/**
 * From the request's arrival. A request that fits is cut off at its budget. One that is served although it does not fit
 * is bounded too: by the largest of its budget, the policy's default budget, and a multiple of its predicted time.
 */
function timeGranted(
  { fits, chosen }: Extract<Decision, { kind: 'serve' }>,
  { rules }: InferenceRequest,
  { policy }: DispatchContext,
): number {
  if (fits) return rules.budgetMs;
  const slackMs = Math.min(INFEASIBLE_BOUND_MS, INFEASIBLE_SLACK * chosen.predicted.totalMs);
  return Math.max(rules.budgetMs, policy.document.defaultLatencyBudgetMs, slackMs);
}

function recordOf(
  { id, model, rules, askedBudgetMs, pinnedLevel, upload, deadline }: InferenceRequest,
  { policy, now }: DispatchContext,
  { version, decision, drops, shed, result, attempts, hedges, selectMs }: Course,
  status: number,
): DecisionRecord {
  const serving = decision?.kind === 'serve' ? decision : undefined;
  const answer = result?.forwarded.kind === 'answered' ? result.forwarded.answer : undefined;
  return {
    atMs: deadline.receivedMs,
    requestId: id,
    model: model.id,
    version: version?.version ?? null,
    policyVersion: policy.version,
    asked: {
      latencyBudgetMs: askedBudgetMs ?? null,
      costBudgetNanoUsd: rules.costBudgetNanoUsd,
      minQuality: rules.minQuality,
      pinnedLevel: pinnedLevel ?? null,
      batch: upload.batch,
      bytes: upload.bytes,
    },
    rules,
    kind: shed && serving === undefined ? 'shed' : (decision?.kind ?? 'no-node'),
    fits: serving?.fits ?? false,
    chosen: serving?.chosen ?? null,
    runnerUp: serving?.runnerUp ?? null,
    tally: decision === undefined || decision.kind === 'no-node' ? null : decision.tally,
    ...(drops === undefined ? {} : { drops }),
    outcome: {
      status,
      level: answer?.status === 200 ? (result?.level ?? null) : null,
      totalMs: now() - deadline.receivedMs,
      selectMs,
      queueMs: answer?.queueMs ?? null,
      executeMs: answer?.executeMs ?? null,
      networkMs: answer?.networkMs ?? null,
      costNanoUsd: result?.costNanoUsd ?? 0,
      attempts,
      hedges,
    },
  };
}
