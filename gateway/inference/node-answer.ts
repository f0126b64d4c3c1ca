/** What becomes of a node's answer: which ones the client sees as they are, and under which headers. */

import { headerLengthName } from '../../schema/binary-tensors.ts';
import { SppError } from '../../schema/errors.ts';
import { formatMs, formatNanoUsd, formatServerTiming, headerNames } from '../../schema/headers.ts';
import type { CatalogVersion } from '../storage/catalog.ts';
import type { NodeAnswer } from './forward.ts';

/** Faults of the request, and refusals the client can act on. Anything else of the node's is nothing to a client. */
const passedThrough: ReadonlySet<number> = new Set([200, 400, 404, 413, 415, 422, 429, 503, 504]);

/** The node takes no work at the moment: another one may. */
export function declined(answer: NodeAnswer): boolean {
  return answer.status === 503 || answer.status === 429;
}

export interface AnswerContext {
  /** That answered. */
  readonly level: number;
  /** Versions by name: the node says which one it answered from, which may have changed under way. */
  readonly versions: ReadonlyMap<string, CatalogVersion>;
  /** The one that was planned. */
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
  if (!passedThrough.has(answer.status))
    throw new SppError('upstream-failed', `The inference node answered ${answer.status}.`, {
      hint: 'Try again; if it lasts, the operator finds the cause in the node’s log.',
      retryAfterS: 1,
    });
  const { level } = context;
  const version = answer.headers.get(headerNames.artifactVersion) ?? context.version.version;
  const served = context.versions.get(version)?.levels.find((row) => row.level === level);
  const headers: Record<string, string> = {
    'content-type': answer.headers.get('content-type') ?? 'application/json',
    [headerNames.policyVersion]: String(context.policyVersion),
    [headerNames.decision]: context.decision,
    [headerNames.artifactVersion]: version,
    [headerNames.pathLevel]: String(level),
    [headerNames.budgetRemaining]: formatMs(context.budgetRemainingMs),
    [headerNames.cost]: formatNanoUsd(context.costNanoUsd),
    'server-timing': formatServerTiming({
      select: context.selectMs,
      queue: answer.queueMs,
      execute: answer.executeMs,
      network: answer.networkMs,
    }),
  };
  if (served !== undefined) {
    headers[headerNames.pathSparsity] = String(round(served.sparsity));
    headers[headerNames.pathQuality] = String(round(served.quality.value));
  }
  // All at once: each one that is set on an answer that is made already costs as much as several given with it.
  for (const [name, value] of context.told) headers[name] = value;
  for (const name of HANDED_ON) {
    const value = answer.headers.get(name);
    if (value !== null) headers[name] = value;
  }
  const { body } = answer;
  return new Response(body.kind === 'whole' ? body.bytes : body.stream, { status: answer.status, headers });
}

/** Of the node's headers, as they are. */
const HANDED_ON = ['retry-after', headerLengthName, headerNames.steppedFrom] as const;

function round(value: number): number {
  return Number(value.toFixed(6));
}
