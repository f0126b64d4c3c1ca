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
  const headers: Record<string, string> = {
    'content-type': answer.headers.get('content-type') ?? 'application/json',
    ...levelHeaders(context.versions.get(version), version, level),
    [headerNames.policyVersion]: String(context.policyVersion),
    [headerNames.decision]: context.decision,
    [headerNames.budgetRemaining]: formatMs(context.budgetRemainingMs),
    [headerNames.cost]: formatNanoUsd(context.costNanoUsd),
    'server-timing': formatServerTiming({
      select: context.selectMs,
      queue: answer.queueMs,
      execute: answer.executeMs,
      network: answer.networkMs,
    }),
  };
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

type LevelHeaders = Readonly<Record<string, string>>;

/** By version of a copy of the catalog, then level: the same with each answer. */
const headersOf = new WeakMap<CatalogVersion, Map<number, LevelHeaders>>();

/** @param known undefined for a version that the catalog does not have yet */
function levelHeaders(known: CatalogVersion | undefined, version: string, level: number): LevelHeaders {
  const held = known === undefined ? undefined : headersOf.get(known)?.get(level);
  if (held !== undefined) return held;
  const row = known?.levels.find((served) => served.level === level);
  const made: LevelHeaders = {
    [headerNames.artifactVersion]: version,
    [headerNames.pathLevel]: String(level),
    ...(row === undefined
      ? {}
      : {
          [headerNames.pathSparsity]: String(round(row.sparsity)),
          [headerNames.pathQuality]: String(round(row.quality.value)),
        }),
  };
  // Only what is known is kept: a node could name any level.
  if (known !== undefined && row !== undefined)
    headersOf.set(known, (headersOf.get(known) ?? new Map<number, LevelHeaders>()).set(level, made));
  return made;
}

function round(value: number): number {
  return Number(value.toFixed(6));
}
