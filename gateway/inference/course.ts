/** What happens to a request on its way, and the record that is kept of it. */
import type { Decision } from '../selector/select.ts';
import type { CatalogVersion } from '../storage/catalog.ts';
import type { AttemptResult } from './attempt.ts';
import type { DecisionRecord } from './decision-record.ts';
import type { DispatchContext, InferenceRequest } from './inference-request.ts';
import { isServed } from './node-answer.ts';

/** What has happened to a request so far. */
export interface Course {
  version: CatalogVersion | undefined;
  decision: Decision | undefined;
  drops: DecisionRecord['drops'] | undefined;
  shed: boolean;
  result: AttemptResult | undefined;
  readonly attempts: string[];
  hedges: number;
  /** Of the budget, before the choice was made. */
  spentMs: number;
  selectMs: number;
}

export function newCourse(): Course {
  return {
    version: undefined,
    decision: undefined,
    drops: undefined,
    shed: false,
    result: undefined,
    attempts: [],
    hedges: 0,
    spentMs: 0,
    selectMs: 0,
  };
}

/** What the client is told of the choice. */
export function decisionName(
  { fits }: Extract<Decision, { kind: 'serve' }>,
  { pinnedLevel }: InferenceRequest,
  { shed }: Course,
): string {
  if (shed) return 'overload-served-sparsest';
  if (fits) return 'fits';
  return pinnedLevel === undefined ? 'infeasible-served-sparsest' : 'infeasible-served-pinned';
}

/** @param status what the client is answered */
export function recordOf(
  { id, atMs, model, rules, askedBudgetMs, pinnedLevel, upload, deadline }: InferenceRequest,
  { policy, now }: DispatchContext,
  { version, decision, drops, shed, result, attempts, hedges, spentMs, selectMs }: Course,
  status: number,
): DecisionRecord {
  const serving = decision?.kind === 'serve' ? decision : undefined;
  const answer = result?.forwarded.kind === 'answered' ? result.forwarded.answer : undefined;
  const record: DecisionRecord = {
    atMs,
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
    spentMs,
    kind: shed && serving === undefined ? 'shed' : (decision?.kind ?? 'no-node'),
    fits: serving?.fits ?? false,
    chosen: serving?.chosen ?? null,
    runnerUp: serving?.runnerUp ?? null,
    tally: decision === undefined || decision.kind === 'no-node' ? null : decision.tally,
    outcome: {
      status,
      level: answer !== undefined && isServed(answer) ? answer.level : null,
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
  return drops === undefined ? record : { ...record, drops };
}
