/**
 * One inference: select, forward, once more on another node if the first is gone and time is left, and never past the
 * deadline.
 *
 *   overloaded? ─> select ─> set money aside ─> send ──answered──────────────────────> answer
 *                    ^                           │ └─ slow ─> send to a second node ─> the first good answer
 *                    └──── the node failed, and another fits what is left
 */
import { SppError } from '../../schema/errors.ts';
import { type Course, decisionName, newCourse, recordOf } from './course.ts';
import type { DispatchContext, InferenceRequest } from './inference-request.ts';
import { anotherMay, clientResponse, failureOf } from './node-answer.ts';
import { plan, timeGranted, worthAnother } from './plan.ts';
import { noNode, overloaded, refusal } from './refusals.ts';
import { probe, probedNode, started, withHedge } from './sending.ts';

const ATTEMPTS = 2;

/**
 * @throws `budget-infeasible` or `cost-infeasible` before anything is sent, `budget-overrun` after, `overloaded`,
 *   `no-node`, `unknown-level`, `upstream-failed`
 */
export async function dispatch(request: InferenceRequest, context: DispatchContext): Promise<Response> {
  const course = newCourse();
  let response: Response;
  try {
    response = await request.deadline.bound(run(request, context, course));
  } catch (error) {
    const status = error instanceof SppError ? error.status : 500;
    context.observe?.(recordOf(request, context, course, status));
    throw error;
  }
  context.observe?.(recordOf(request, context, course, response.status));
  return response;
}

async function run(request: InferenceRequest, context: DispatchContext, course: Course): Promise<Response> {
  const { rules, deadline } = request;
  const selectStartedMs = context.now();
  const failed = new Map<string, string>();
  let refused: (() => Response) | undefined;
  for (let count = 1; count <= ATTEMPTS; count++) {
    const planned = plan(request, context, course, failed);
    const { decision, selection } = planned;
    course.spentMs = rules.budgetMs - selection.budgetLeftMs;
    if (decision.kind !== 'serve') {
      if (count > 1) break;
      throw course.shed
        ? overloaded(context.fleet.pressure(), rules)
        : refusal(decision, rules, selection.budgetLeftMs);
    }
    if (count === 1) deadline.grant(timeGranted(planned, context.policy.document.defaultLatencyBudgetMs));
    else if (!worthAnother(planned, deadline.leftMs())) break;
    course.selectMs = context.now() - selectStartedMs;
    const probed = count === 1 ? probedNode(planned, request, context) : undefined;
    const starting = started(planned, request, context, course, probed !== undefined);
    const first = starting instanceof Promise ? await starting : starting;
    if (probed !== undefined) probe(probed, planned, request, context);
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
    const answered = () =>
      clientResponse(answer, {
        level: result.level,
        asked: chosen.level,
        version: planned.version,
        policyVersion: context.policy.version,
        decision: decisionName(decision, request, course),
        selectMs: course.selectMs,
        budgetRemainingMs: deadline.receivedMs + rules.budgetMs - context.now(),
        costNanoUsd: result.costNanoUsd,
        told: request.told,
      });
    if (!anotherMay(answer) || !request.upload.repeatable) {
      const response = answered();
      if (answer.body.kind === 'whole') deadline.release();
      return response;
    }
    failed.set(chosen.node, failureOf(answer));
    refused = answered;
  }
  if (refused !== undefined) return refused();
  throw noNode();
}
