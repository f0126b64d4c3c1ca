/** One inference: select, forward, once more on another node if the first is gone, and never past the deadline. */
import { SppError } from '../../schema/errors.ts';
import { formatNanoUsd } from '../../schema/headers.ts';
import type { Fleet } from '../nodes/fleet.ts';
import { priceList } from '../policy/prices.ts';
import { candidateTable } from '../selector/candidate-table.ts';
import type { Rules } from '../selector/rules.ts';
import { type Candidate, type Decision, select } from '../selector/select.ts';
import type { CatalogModel, CatalogVersion } from '../storage/catalog.ts';
import type { VersionedPolicy } from '../storage/policies.ts';
import { forward, type NodeAnswer } from './forward.ts';
import { clientResponse, declined } from './node-answer.ts';

export interface InferenceRequest {
  readonly model: CatalogModel;
  readonly pinnedLevel: number | undefined;
  /** What the policy and the request's headers say. */
  readonly rules: Rules;
  readonly batch: number;
  readonly body: Uint8Array<ArrayBuffer>;
  /** Handed on to the node. */
  readonly headers: Readonly<Record<string, string>>;
  /** When the gateway had the request; its budget starts here. */
  readonly receivedMs: number;
}

export interface DispatchContext {
  readonly fleet: Fleet;
  readonly policy: VersionedPolicy;
  readonly nodeToken: string;
  readonly now: () => number;
}

const ATTEMPTS = 2;
/** What no budget holds gets this multiple of its predicted time, and never longer than the bound, before it is cut off. */
const INFEASIBLE_SLACK = 4;
const INFEASIBLE_BOUND_MS = 30_000;

/**
 * @throws `unknown-level`, `budget-infeasible` before anything is sent, `budget-overrun` after, `no-node`
 */
export async function dispatch(request: InferenceRequest, context: DispatchContext): Promise<Response> {
  const { fleet, policy, now } = context;
  const { pinnedLevel, rules } = request;
  const requestedBudgetMs = rules.budgetMs;
  const selectStartedMs = now();
  const failed = new Map<string, string>();
  let refusal: Response | undefined;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const { version, decision } = plan(request, context, failed);
    if (decision.kind !== 'serve') {
      if (attempt > 1) break;
      throw refused(decision, rules);
    }
    const { chosen, fits } = decision;
    const selectMs = now() - selectStartedMs;
    const deadlineMs = request.receivedMs + timeGranted(requestedBudgetMs, decision, policy);
    const answer = await attemptOn(chosen, deadlineMs, request, context);
    if ('unreached' in answer) {
      failed.set(chosen.node, answer.unreached);
      fleet.markDown(chosen.node, answer.unreached);
      continue;
    }
    const response = clientResponse(answer, {
      level: chosen.level,
      versions: request.model.versions,
      plannedVersion: version,
      policyVersion: policy.version,
      decision: decisionName(fits, pinnedLevel),
      selectMs,
      budgetRemainingMs: request.receivedMs + requestedBudgetMs - now(),
    });
    if (!declined(answer)) {
      if (answer.status === 200) learn(chosen, answer, version, request, fleet);
      return response;
    }
    failed.set(chosen.node, `declined with ${answer.status}`);
    refusal = response;
  }
  if (refusal !== undefined) return refusal;
  throw noNode();
}

/** @param failed nodes that this request has tried in vain */
function plan(
  request: InferenceRequest,
  { fleet, policy, now }: DispatchContext,
  failed: ReadonlyMap<string, string>,
): { version: string; decision: Decision } {
  const { model, pinnedLevel, rules } = request;
  const version = routedVersion(model, fleet);
  if (pinnedLevel !== undefined && !version.levels.some(({ level }) => level === pinnedLevel))
    throw unknownLevel(model.id, String(pinnedLevel), version);
  const nodes = fleet.options(model.id, version.version);
  const table = candidateTable({
    levels: version.levels.map((row) => ({ ...row, quality: row.quality.value })),
    nodes: nodes.map((node) => ({ ...node, unusable: node.unusable ?? failed.get(node.name) })),
    quantile: rules.quantile,
    batch: request.batch,
    priceOf: priceList(policy.document.prices, model.id),
  });
  const decision = select(table, {
    rules,
    budgetLeftMs: request.receivedMs + rules.budgetMs - now(),
    costBudgetNanoUsd: rules.costBudgetNanoUsd ?? undefined,
    minQuality: rules.minQuality,
    pinnedLevel,
    bytes: request.body.length,
  });
  return { version: version.version, decision };
}

function decisionName(fits: boolean, pinnedLevel: number | undefined): string {
  if (fits) return 'fits';
  return pinnedLevel === undefined ? 'infeasible-served-sparsest' : 'infeasible-served-pinned';
}

/** A decision as its refusal. */
function refused(
  decision: Exclude<Decision, { kind: 'serve' }>,
  { budgetMs, minBudgetMs, costBudgetNanoUsd, slaClass, tier, minSparsity, maxSparsity, minQuality }: Rules,
): SppError {
  if (decision.kind === 'no-node') return noNode();
  const { nearest, by } = decision;
  const predictedMs = nearest === undefined ? null : Number(nearest.predicted.totalMs.toFixed(3));
  const told = {
    class: [
      `The class takes latency budgets from ${minBudgetMs} ms; ${budgetMs} ms is less.`,
      'Ask with a larger X-Latency-Budget, or another X-SLA-Class.',
    ],
    bounds: [
      'No level lies within the bounds of this request.',
      'Ask for less quality, another level or another latency budget; GET /v2/models/{model} lists the levels.',
    ],
    cost: [
      `No level fits a cost budget of ${formatNanoUsd(costBudgetNanoUsd ?? 0)} USD: the cheapest one allowed costs ${formatNanoUsd(nearest?.costNanoUsd ?? 0)}.`,
      'Ask with a larger X-Cost-Budget.',
    ],
    latency: [
      `No level fits a latency budget of ${budgetMs} ms: the sparsest one allowed takes ${predictedMs} ms.`,
      'Ask with a larger X-Latency-Budget; GET /v2/models/{model} lists what each level takes now.',
    ],
  } as const satisfies Record<typeof by, readonly [string, string]>;
  const [message, hint] = told[by];
  return new SppError(by === 'cost' ? 'cost-infeasible' : 'budget-infeasible', message, {
    hint,
    details: {
      latencyBudgetMs: budgetMs,
      predictedMs,
      level: nearest?.level ?? null,
      bounds: {
        class: slaClass,
        tier,
        minSparsity,
        maxSparsity,
        minQuality: minQuality > 0 ? minQuality : null,
      },
      ...(by === 'cost' ? { costBudgetNanoUsd, costNanoUsd: nearest?.costNanoUsd ?? null } : {}),
    },
  });
}

/**
 * From the request's arrival. A request that fits is cut off at its budget. One that is served although it does not fit
 * is bounded too: by the largest of its budget, the policy's default budget, and a multiple of its predicted time.
 */
function timeGranted(
  requestedBudgetMs: number,
  { fits, chosen }: Extract<Decision, { kind: 'serve' }>,
  { document }: VersionedPolicy,
): number {
  if (fits) return requestedBudgetMs;
  const slackMs = Math.min(INFEASIBLE_BOUND_MS, INFEASIBLE_SLACK * chosen.predicted.totalMs);
  return Math.max(requestedBudgetMs, document.defaultLatencyBudgetMs, slackMs);
}

async function attemptOn(
  chosen: Candidate,
  deadlineMs: number,
  request: InferenceRequest,
  { fleet, nodeToken, now }: DispatchContext,
) {
  const leftMs = deadlineMs - now();
  if (leftMs <= 0)
    throw new SppError(
      'budget-overrun',
      'The latency budget ran out before the request could be sent to a node.',
      {
        hint: 'Ask with a larger X-Latency-Budget.',
      },
    );
  const over = fleet.begin(chosen.node);
  try {
    return await forward({
      node: fleet.addressOf(chosen.node),
      nodeToken,
      model: request.model.id,
      level: chosen.level,
      body: request.body,
      headers: request.headers,
      leftMs,
      now,
    });
  } finally {
    over();
  }
}

function learn(
  { node, level }: Candidate,
  { networkMs, executeMs, headers }: NodeAnswer,
  plannedVersion: string,
  { batch }: InferenceRequest,
  fleet: Fleet,
): void {
  const version = headers.get('x-artifact-version') ?? plannedVersion;
  fleet.record(node, { version, level, batch, networkMs, executeMs });
}

/**
 * The newest version that a usable node serves; while none does, the active one.
 */
export function routedVersion(model: CatalogModel, fleet: Fleet): CatalogVersion {
  const live = fleet.liveVersions(model.id);
  const versions = [...model.versions.values()].sort((a, b) => b.ordinal - a.ordinal);
  const version =
    versions.find((candidate) => live.has(candidate.version)) ?? model.versions.get(model.activeVersion);
  if (version === undefined) throw new Error(`${model.id} has no version ${model.activeVersion}.`);
  return version;
}

export function unknownLevel(model: string, asked: string, { levels }: CatalogVersion): SppError {
  return new SppError('unknown-level', `${model} has no level ${JSON.stringify(asked.slice(0, 32))}.`, {
    hint: `Its levels are 0 (sparsest) to ${levels.length - 1} (dense).`,
  });
}

/** Which nodes and why is for operators, who have GET /v1/nodes. */
function noNode(): SppError {
  return new SppError('no-node', 'No inference node can take the request at the moment.', {
    hint: 'Try again in a moment.',
    retryAfterS: 1,
  });
}
