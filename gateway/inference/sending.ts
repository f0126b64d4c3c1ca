/** What is sent for one request: to the chosen node, to a second one where that is slow, and copies that show how nodes are. */

import { SppError } from '../../schema/errors.ts';
import { nothing, type Reservation } from '../budget/reservation.ts';
import { logFailure } from '../log.ts';
import { expectedOf } from '../selector/candidate-table.ts';
import type { Decision } from '../selector/select.ts';
import type { CatalogVersion } from '../storage/catalog.ts';
import { type AttemptRequest, type AttemptResult, attempt } from './attempt.ts';
import type { Course } from './course.ts';
import { Deadline, overrun } from './deadline.ts';
import { type Attempt, hedged } from './hedging.ts';
import type { DispatchContext, InferenceRequest } from './inference-request.ts';
import { anotherMay } from './node-answer.ts';
import { lowestAllowed, type Plan, plan, worthAnother } from './plan.ts';

/** A probe is a request of its own, which nobody waits for. */
const PROBE_BOUND_MS = 5000;

/**
 * Sets the money aside and sends.
 * @param outlived something will go on behind the answer, besides what has begun already
 * @param wanted whether it still is, once the money is set aside
 * @throws to refuse what cannot be paid, also through the promise
 */
export function started(
  planned: Plan,
  request: InferenceRequest,
  context: DispatchContext,
  course: Course,
  outlived: boolean,
  wanted: () => boolean = () => true,
): Attempt<AttemptResult> | Promise<Attempt<AttemptResult>> {
  const { decision } = planned;
  if (decision.kind !== 'serve') throw new Error('Only what is to be served can be sent.');
  const reserved = context.reserve(decision.chosen.costNanoUsd);
  const send = (reservation: Reservation) =>
    sent(planned, decision, reservation, request, context, course, outlived);
  if (!(reserved instanceof Promise)) return send(reserved);
  return reserved.then((reservation) => {
    if (wanted() && request.deadline.leftMs() > 0) return send(reservation);
    // The client was answered, or told that its time is up, while the ledger was asked.
    reservation.refund();
    throw overrun();
  });
}

function sent(
  { version, spec, table, selection }: Plan,
  { chosen, fits }: Extract<Decision, { kind: 'serve' }>,
  reservation: Reservation,
  request: InferenceRequest,
  context: DispatchContext,
  course: Course,
  outlived: boolean,
): Attempt<AttemptResult> {
  course.attempts.push(chosen.node);
  const { expectedQueueMs, usualMs, quickestWayMs } = expectedOf(table, chosen);
  const asked: AttemptRequest = {
    chosen,
    minLevel: request.pinnedLevel ?? lowestAllowed(version, selection.rules, chosen.level),
    expectedQueueMs,
    usualMs,
    quickestWayMs,
    model: spec.model,
    version: spec.version.version,
    batch: spec.batch,
    length: spec.length,
    upload: request.upload,
    trace: request.trace,
    deadline: request.deadline,
    reservation,
    promised: fits ? spec.quantile : undefined,
    abortable: outlived || request.abortable || request.rules.hedgeShare > 0 || context.background.kept,
  };
  return attempt(asked, context);
}

/**
 * With a second node where the first is slow: later than predicted, within the share of hedges, or so late that it is stuck.
 * @param failed nodes that this request has tried in vain
 */
export function withHedge(
  first: Attempt<AttemptResult>,
  { version, decision }: Plan,
  failed: ReadonlyMap<string, string>,
  request: InferenceRequest,
  context: DispatchContext,
  course: Course,
): Promise<AttemptResult> {
  const { rules, upload, deadline } = request;
  if (!upload.repeatable || decision.kind !== 'serve') return first.done;
  const { chosen, fits } = decision;
  const hedges = rules.hedgeShare > 0 && fits;
  if (hedges) context.hedges.earn(rules.hedgeShare);
  const stuckMs = Math.max(LEAST_STUCK_MS, STUCK_TIMES * chosen.predicted.totalMs);
  // As much has to be left for another node.
  const rescues = deadline.leftMs() >= 2 * stuckMs;
  if (!hedges && !rescues) return first.done;
  // Made for who is slow, which hardly anybody is.
  let made: SecondNodes | undefined;
  const seconds = () =>
    (made ??= secondNodes(first.done, { version, decision }, failed, request, context, course));
  const after = (ms: number) => (slow: () => void) => deadline.after(ms, slow);
  const done = hedges
    ? hedged(first, after(chosen.predicted.totalMs), (wanted) => seconds().hedge(wanted), isGood)
    : first.done;
  if (!rescues) return done;
  const slower = hedges
    ? {
        done,
        stop() {
          first.stop();
          made?.stopHedge();
        },
      }
    : first;
  return hedged(slower, after(stuckMs), (wanted) => seconds().rescue(stuckMs, wanted), isGood);
}

type Second = Promise<Attempt<AttemptResult> | undefined>;

interface SecondNodes {
  /** Within the share of hedges. */
  hedge(wanted: () => boolean): Second;
  /** For whoever has another answer: nobody else would stop what the hedge was sent to. */
  stopHedge(): void;
  /** Once the first has answered nobody for so long. */
  rescue(stuckMs: number, wanted: () => boolean): Second;
}

interface Choice {
  readonly version: CatalogVersion;
  readonly decision: Extract<Decision, { kind: 'serve' }>;
}

/** Ways to another node than the one that was chosen, for the same version: the client is told of that one. */
function secondNodes(
  first: Promise<AttemptResult>,
  { version, decision }: Choice,
  failed: ReadonlyMap<string, string>,
  request: InferenceRequest,
  context: DispatchContext,
  course: Course,
): SecondNodes {
  const { chosen } = decision;
  const { deadline } = request;
  const asked = new Map(failed);
  const alike: InferenceRequest = { ...request, route: () => version };
  let hedge: Attempt<AttemptResult> | undefined;
  let isHedgeOver = false;
  const another = async (reason: string, serves: (planned: Plan) => boolean, wanted: () => boolean) => {
    asked.set(chosen.node, reason);
    const { drops, shed } = course;
    const planned = plan(alike, context, course, asked);
    // Answer and record tell of the choice that was made first.
    Object.assign(course, { decision, drops, shed });
    if (planned.decision.kind !== 'serve' || !serves(planned)) return undefined;
    asked.set(planned.decision.chosen.node, 'was asked beside another');
    return startedIfPaid(planned, request, context, course, wanted);
  };
  return {
    async hedge(wanted) {
      if (!context.hedges.spend()) return undefined;
      hedge = await another('is slow with this request', serves, () => wanted() && !isHedgeOver);
      if (hedge === undefined) context.hedges.giveBack();
      else course.hedges++;
      if (isHedgeOver) hedge?.stop();
      return hedge;
    },
    stopHedge() {
      isHedgeOver = true;
      hedge?.stop();
    },
    async rescue(stuckMs, wanted) {
      while (!context.fleet.stuck(chosen.node, stuckMs, context.background)) {
        if (deadline.leftMs() < stuckMs || (await isOverWithin(stuckMs, first))) return undefined;
      }
      return another('answers nobody', (planned) => worthAnother(planned, deadline.leftMs()), wanted);
    },
  };
}

/** A node that has answered nobody for so long, and so many times what was predicted, is frozen or out of reach. */
const LEAST_STUCK_MS = 1000;
const STUCK_TIMES = 4;

function serves({ decision }: Plan): boolean {
  return decision.kind === 'serve' && decision.fits;
}

async function isOverWithin(ms: number, done: Promise<unknown>): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const pause = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([pause, done.then(() => true)]);
  } finally {
    clearTimeout(timer);
  }
}

/** @returns undefined where it cannot be paid, or is wanted no more */
async function startedIfPaid(
  planned: Plan,
  request: InferenceRequest,
  context: DispatchContext,
  course: Course,
  wanted: () => boolean,
): Promise<Attempt<AttemptResult> | undefined> {
  try {
    return await started(planned, request, context, course, true, wanted);
  } catch (error) {
    if (!(error instanceof SppError)) logFailure('no second node was asked', error);
    return undefined;
  }
}

function isGood({ forwarded }: AttemptResult): boolean {
  return forwarded.kind === 'answered' && !anotherMay(forwarded.answer) && forwarded.answer.status < 500;
}

/** The node that has to show how it is and may be sent a copy of this request; undefined for none. */
export function probedNode(
  { spec, decision }: Plan,
  { upload }: InferenceRequest,
  { fleet, random, probeShare }: DispatchContext,
): string | undefined {
  if (!upload.repeatable || decision.kind !== 'serve') return undefined;
  return fleet.probeTarget(spec, decision.chosen.node, random() < probeShare);
}

/** Sends that copy. Nobody waits for it, and nobody pays. */
export function probe(
  node: string,
  { spec, table, decision }: Plan,
  request: InferenceRequest,
  context: DispatchContext,
): void {
  if (decision.kind !== 'serve') return;
  const { chosen } = decision;
  const own = new Deadline(context.now(), PROBE_BOUND_MS, context.now);
  const { done } = attempt(
    {
      chosen: { ...chosen, node, costNanoUsd: 0 },
      minLevel: chosen.level,
      ...expectedOf(table, { ...chosen, node }),
      model: spec.model,
      version: spec.version.version,
      batch: spec.batch,
      length: spec.length,
      upload: request.upload,
      trace: request.trace,
      deadline: own,
      reservation: nothing,
      promised: undefined,
      abortable: true,
      probe: true,
    },
    context,
  );
  context.background.waitUntil(done.finally(() => own.release()));
}
