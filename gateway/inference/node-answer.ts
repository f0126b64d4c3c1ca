/** What becomes of a node's answer: which ones the client sees as they are, and under which headers. */

import { headerLengthName } from '../../schema/binary-tensors.ts';
import { problemParts, SppError } from '../../schema/errors.ts';
import { formatMs, formatNanoUsd, formatServerTiming, headerNames } from '../../schema/headers.ts';
import type { CatalogVersion } from '../storage/catalog.ts';
import { foreignRefusal } from './foreign-refusal.ts';
import type { NodeAnswer } from './forward.ts';

/**
 * Faults of the request, and refusals the client can act on. Anything else of the node's is nothing to a client, as is what the node does
 * not find: the gateway knows that there are such a model and level.
 */
const passedThrough: ReadonlySet<number> = new Set([200, 400, 408, 413, 415, 422, 429, 503, 504]);

/** What the client asked for. */
export function isServed({ status, fault }: NodeAnswer): boolean {
  return status === 200 && fault === undefined;
}

/** The node takes no work at the moment. */
export function declined({ status, fault }: NodeAnswer): boolean {
  return fault === undefined && (status === 503 || status === 429);
}

/** Not this request but this node is the matter: another one may serve it. */
export function anotherMay(answer: NodeAnswer): boolean {
  return declined(answer) || !isPassedThrough(answer);
}

function isPassedThrough({ status, fault }: NodeAnswer): boolean {
  return fault === undefined && passedThrough.has(status);
}

/** What the node did, for who is told of it. */
export function failureOf({ status, fault }: NodeAnswer): string {
  return `answered ${status}${fault === undefined ? '' : ` with ${fault}`}`;
}

const JSON_TYPE = 'application/json';

export interface AnswerContext {
  /** That answered. */
  readonly level: number;
  /** That the node was asked for. */
  readonly asked: number;
  /** Of the artifact: that the node was asked for, and has answered from. */
  readonly version: CatalogVersion;
  readonly policyVersion: number;
  readonly decision: string;
  readonly selectMs: number;
  readonly budgetRemainingMs: number;
  readonly costNanoUsd: number;
  /** Headers that every answer to this request has. */
  readonly told: ReadonlyMap<string, string>;
}

/** @throws `upstream-failed` for answers that are the node's own fault */
export function clientResponse(answer: NodeAnswer, context: AnswerContext): Response {
  if (!isPassedThrough(answer))
    throw new SppError('upstream-failed', `The inference node ${failureOf(answer)}.`, {
      hint: 'Try again; if it lasts, the operator finds the cause in the node’s log.',
      retryAfterS: 1,
    });
  const { body, status, type } = answer;
  const foreign = status === 200 ? undefined : foreignRefusal(answer);
  if (foreign !== undefined) return refusal(foreign, answer, context);
  // The runtime copies headers in a fraction of the time that it takes to make them of names and values.
  const response = new Response(body.kind === 'whole' ? body.bytes : body.stream, {
    status,
    headers: steadyHeaders(type ?? JSON_TYPE, context),
  });
  return completed(response, type, answer, context);
}

/** A problem of ours in the place of what the node said. */
function refusal(error: SppError, answer: NodeAnswer, context: AnswerContext): Response {
  const { status, headers, body } = problemParts(error);
  const type = headers['content-type'] as string;
  const response = new Response(body, { status, headers: steadyHeaders(type, context) });
  return completed(response, type, answer, context);
}

/** Adds what differs from answer to answer. */
function completed(
  response: Response,
  type: string | null,
  answer: NodeAnswer,
  context: AnswerContext,
): Response {
  const { headers } = response;
  const { status } = answer;
  headers.set(headerNames.budgetRemaining, formatMs(context.budgetRemainingMs));
  headers.set(headerNames.cost, formatNanoUsd(context.costNanoUsd));
  headers.set(
    'server-timing',
    formatServerTiming({
      select: context.selectMs,
      queue: answer.queueMs,
      execute: answer.executeMs,
      network: answer.networkMs,
    }),
  );
  for (const [name, value] of context.told) headers.set(name, value);
  // Looked for only where they can be: a look is a call of the runtime.
  if (type !== JSON_TYPE) handOn(headerLengthName, answer, headers);
  if (status !== 200) handOn('retry-after', answer, headers);
  // Who comes too early has to be told when to come, whatever the node says.
  if ((status === 429 || status === 503) && !headers.has('retry-after')) headers.set('retry-after', '1');
  if (context.level !== context.asked) handOn(headerNames.steppedFrom, answer, headers);
  return response;
}

/** A header of the node's, as it is. */
function handOn(name: string, answer: NodeAnswer, headers: Headers): void {
  const value = answer.headers.get(name);
  if (value !== null) headers.set(name, value);
}

/** Headers that were made, and what they were made of besides version and level. */
interface Made {
  readonly policyVersion: number;
  readonly decision: string;
  readonly type: string;
  readonly headers: Headers;
}

/** By version of a copy of the catalog, then by level. */
const madeOf = new WeakMap<CatalogVersion, Made[][]>();
/** Of one level: its decisions and media types, of the policy in force and the one before. */
const MADE_HELD = 16;

/** What is the same with each answer of a level, made once and never changed. */
function steadyHeaders(type: string, { level, version, policyVersion, decision }: AnswerContext): Headers {
  const held = madeOf.get(version)?.[level];
  if (held !== undefined) {
    for (const made of held)
      if (made.policyVersion === policyVersion && made.decision === decision && made.type === type)
        return made.headers;
  }
  const row = version.levels.find((served) => served.level === level);
  const headers = new Headers({
    'content-type': type,
    [headerNames.artifactVersion]: version.version,
    [headerNames.pathLevel]: String(level),
    ...(row === undefined
      ? {}
      : {
          [headerNames.pathSparsity]: String(round(row.sparsity)),
          [headerNames.pathQuality]: String(promisedQuality(row.quality.value)),
        }),
    [headerNames.policyVersion]: String(policyVersion),
    [headerNames.decision]: decision,
  });
  // Only what is known is kept: a node could name any level.
  if (row !== undefined) {
    const levels = madeOf.get(version) ?? [];
    const kept = held === undefined || held.length >= MADE_HELD ? [] : held;
    kept.push({ policyVersion, decision, type, headers });
    levels[level] = kept;
    madeOf.set(version, levels);
  }
  return headers;
}

/** Never above the level's own: sent back as `X-Min-Quality` it must not rule the level out. */
function promisedQuality(value: number): number {
  const rounded = round(value);
  return rounded <= value ? rounded : round(rounded - 1e-6);
}

function round(value: number): number {
  return Number(value.toFixed(6));
}
