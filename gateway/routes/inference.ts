/** The Open Inference Protocol: health, metadata, inference. */
import { binaryExtension } from '../../schema/binary-tensors.ts';
import type { ApiKeyRow } from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import { headerNames } from '../../schema/headers.ts';
import { reserveCost } from '../budget/limits.ts';
import { unlimited } from '../budget/reservation.ts';
import { type DecisionInput, storedNodes } from '../decisions/decision-input.ts';
import { explanationHeader, wantsReasons } from '../decisions/explanation.ts';
import { bodyFailure, requireSending } from '../http/expectation.ts';
import type { DecisionRecord } from '../inference/decision-record.ts';
import { dispatch } from '../inference/dispatch.ts';
import { type RequestBudgets, readBudgets } from '../inference/infer-request.ts';
import { levelMetadata, modelMetadata } from '../inference/metadata.ts';
import { isServed, levelOptions, routedVersion, unknownLevel } from '../inference/routing.ts';
import { lengthIn } from '../inference/sequence.ts';
import { traceOf } from '../inference/trace.ts';
import { readUpload, type Upload } from '../inference/upload.ts';
import type { Fleet } from '../nodes/fleet.ts';
import { canaryVersion, governing } from '../policy/canary.ts';
import { pricesOf } from '../policy/prices.ts';
import { rulesForRequest } from '../policy/request-rules.ts';
import type { Call, Route } from '../route.ts';
import type { Catalog, CatalogModel, CatalogVersion } from '../storage/catalog.ts';
import type { VersionedPolicy } from '../storage/policies.ts';

const MODEL = '/v2/models/:model';
const LEVEL = `${MODEL}/versions/:level`;

export const inferenceRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v2',
    access: 'client',
    handle: () =>
      Response.json({
        name: 'solution-path',
        version: '0.1.0',
        extensions: ['path_levels', binaryExtension],
      }),
  },
  { method: 'GET', path: '/v2/health/live', access: 'open', handle: () => ofNow({ live: true }) },
  {
    method: 'GET',
    path: '/v2/health/ready',
    access: 'open',
    async handle(call) {
      const models = [...(await call.gateway.catalog.get(call.background)).values()];
      await call.gateway.policy.get(call.background);
      await call.gateway.fleet.refresh(call.background, ...models.map(({ id }) => id));
      if (!models.some((model) => isServed(model, call.gateway.fleet)))
        throw new SppError('not-ready', 'No model is served by any node at the moment.', {
          hint: 'Try again in a moment; operators see the fleet with GET /v1/nodes, and artifacts with GET /v1/models.',
          retryAfterS: 1,
        });
      return ofNow({ ready: true });
    },
  },
  {
    method: 'GET',
    path: MODEL,
    access: 'client',
    async handle(call) {
      const model = findModel(call, await call.gateway.catalog.get(call.background));
      const policy = await call.gateway.policy.get(call.background);
      await call.gateway.fleet.refresh(call.background, model.id);
      return Response.json(modelMetadata(model, call.gateway.fleet, policy));
    },
  },
  {
    method: 'GET',
    path: `${MODEL}/ready`,
    access: 'client',
    async handle(call) {
      const model = findModel(call, await call.gateway.catalog.get(call.background));
      await call.gateway.fleet.refresh(call.background, model.id);
      requireServed(call, model);
      return Response.json({ name: model.id, ready: true });
    },
  },
  {
    method: 'GET',
    path: LEVEL,
    access: 'client',
    async handle(call) {
      const model = findModel(call, await call.gateway.catalog.get(call.background));
      const policy = await call.gateway.policy.get(call.background);
      await call.gateway.fleet.refresh(call.background, model.id);
      const level = findLevel(call, model);
      return Response.json(levelMetadata(model, level, call.gateway.fleet, policy));
    },
  },
  {
    method: 'GET',
    path: `${LEVEL}/ready`,
    access: 'client',
    async handle(call) {
      const model = findModel(call, await call.gateway.catalog.get(call.background));
      await call.gateway.fleet.refresh(call.background, model.id);
      const level = findLevel(call, model);
      requireServed(call, model);
      if (!call.gateway.fleet.serves(model.id, routedVersion(model, call.gateway.fleet).version, level))
        throw new SppError(
          'level-unavailable',
          `No node serves level ${level} of ${model.id} at the moment.`,
          {
            hint: 'GET /v2/models/{model} lists what each level takes, which is null for those that nobody serves.',
            retryAfterS: 1,
          },
        );
      return Response.json({ name: model.id, version: String(level), ready: true });
    },
  },
  {
    method: 'POST',
    path: `${MODEL}/infer`,
    access: 'client',
    timed: true,
    handle: (call) => infer(call, () => undefined),
  },
  {
    method: 'POST',
    path: `${LEVEL}/infer`,
    access: 'client',
    timed: true,
    handle: (call) => infer(call, (asked, model, version) => findLevel(asked, model, version())),
  },
];

async function infer(
  call: Call,
  pin: (call: Call, model: CatalogModel, version: () => CatalogVersion) => number | undefined,
): Promise<Response> {
  const { gateway, request, headers, background, requestId } = call;
  const { clock, known } = call;
  if (clock === undefined || known === undefined) throw new Error('Inference is timed.');
  const budgets = readBudgets(headers);
  const key = clientKey(call);
  const explain = wantsReasons(headers.get(headerNames.explain), key?.mayExplain ?? false);
  // What is in hand is not waited for: a wait costs a turn of the runtime's queue.
  const { policy: inForce, catalog } = known instanceof Promise ? await clock.bound(known) : known;
  const policy = governing<VersionedPolicy>(inForce, inForce.baseline, requestId);
  const rules = rulesForRequest(policy.document, budgets, key);
  const { defaultLatencyBudgetMs, canary, prices } = policy.document;
  clock.grant(
    rules.infeasible === 'refuse' ? rules.budgetMs : Math.max(rules.budgetMs, defaultLatencyBudgetMs),
  );
  const model = findModel(call, catalog);
  if (!gateway.settings.saysContinue) requireSending(headers, clock.leftMs());
  let upload: Upload;
  try {
    upload = await clock.bound(readUpload(request, headers, gateway.settings.maxBodyBytes));
  } catch (error) {
    throw gateway.settings.saysContinue ? error : bodyFailure(error, headers);
  }
  const refreshing = gateway.fleet.refresh(background, model.id);
  if (refreshing instanceof Promise) await clock.bound(refreshing);
  const route = () => routedVersion(model, gateway.fleet, canaryVersion(canary, model.id, requestId));
  const pinnedLevel = pin(call, model, route);
  const limits = { purses: gateway.purses, background, nowMs: call.receivedMs };
  const abortable = gateway.decisions.wantsCarrier();
  const response = await dispatch(
    {
      id: requestId,
      atMs: call.receivedMs,
      model,
      route,
      pinnedLevel,
      rules,
      askedBudgetMs: budgets.latencyMs,
      upload,
      trace: traceOf(headers, requestId, gateway.randomHex),
      deadline: clock,
      abortable,
      told: call.told,
    },
    {
      fleet: gateway.fleet,
      policy,
      priceOf: pricesOf(prices, model.id),
      nodeNetwork: gateway.nodeNetwork,
      nodeSecrets: gateway.nodeSecrets,
      hedges: gateway.hedges,
      probeShare: gateway.settings.probeShare,
      random: gateway.random,
      background,
      now: gateway.steady.now,
      reserve: key === undefined ? unlimited : (nanoUsd) => reserveCost(key, nanoUsd, limits),
      explain,
      observe(record) {
        gateway.metrics.decided(record);
        if (explain) call.told.set(headerNames.explanation, explanationHeader(record));
        gateway.decisions.observe(
          () => {
            const keyId = key?.id ?? null;
            const input = inputOf(record, budgets, key, gateway.fleet, model, upload);
            return { record, keyId, input };
          },
          record.outcome.status === 504 && !abortable ? undefined : background,
        );
      },
    },
  );
  const reasons = call.told.get(headerNames.explanation);
  if (reasons !== undefined) response.headers.set(headerNames.explanation, reasons);
  return response;
}

/** What a decision was made from; null when it did not come to one. */
function inputOf(
  { version, chosen, runnerUp, asked, spentMs }: DecisionRecord,
  budgets: RequestBudgets,
  key: ApiKeyRow | undefined,
  fleet: Fleet,
  model: CatalogModel,
  upload: Upload,
): DecisionInput | null {
  const routed = version === null ? undefined : model.versions.get(version);
  if (routed === undefined) return null;
  const use = { model: model.id, version: routed.version, length: lengthIn(routed, upload.first) };
  const nodes = fleet.options(use);
  return {
    asked: {
      latencyMs: budgets.latencyMs ?? null,
      costNanoUsd: budgets.costNanoUsd ?? null,
      minQuality: budgets.minQuality ?? null,
      slaClass: budgets.slaClass ?? null,
    },
    key: key === undefined ? null : { id: key.id, classes: key.classes },
    pinnedLevel: asked.pinnedLevel,
    batch: asked.batch,
    bytes: asked.bytes,
    spentMs,
    answerBytes: fleet.answerBytes({ ...use, batch: asked.batch }),
    pressure: fleet.pressure(),
    caution: fleet.caution(),
    levels: levelOptions(routed),
    nodes: storedNodes(
      nodes,
      asked.batch,
      [chosen, runnerUp].flatMap((candidate) => candidate?.node ?? []),
    ),
  };
}

/** A model that the caller's key may not use is, to it, not there. */
function findModel(call: Call, catalog: Catalog): CatalogModel {
  const { param } = call;
  const allowed = clientKey(call)?.models ?? null;
  const name = param('model');
  const model = allowed === null || allowed.includes(name) ? catalog.get(name) : undefined;
  if (model !== undefined) return model;
  const there = [...catalog.keys()].filter((id) => allowed === null || allowed.includes(id));
  throw new SppError('unknown-model', `There is no model ${JSON.stringify(name.slice(0, 64))}.`, {
    hint: there.length > 0 ? `There is ${listed(there)}.` : nothingThere(allowed),
  });
}

/** Who has a key for models that are not there is not to believe that there are none. */
function nothingThere(allowed: readonly string[] | null): string {
  if (allowed === null) return 'No model has been uploaded yet.';
  return `This key is for ${listed(allowed)}, of which nothing has been uploaded. Ask the operator which models it should be for.`;
}

const MOST_LISTED = 20;

function listed(names: readonly string[]): string {
  const more = names.length - MOST_LISTED;
  return [...names.slice(0, MOST_LISTED), ...(more > 0 ? [`${more} more`] : [])].join(', ');
}

function clientKey({ identity }: Call): ApiKeyRow | undefined {
  return identity.kind === 'client' ? identity.key : undefined;
}

function findLevel(
  { gateway, param }: Call,
  model: CatalogModel,
  version: CatalogVersion = routedVersion(model, gateway.fleet),
): number {
  const text = param('level');
  const level = /^(?:0|[1-9]\d{0,5})$/.test(text) ? Number(text) : Number.NaN;
  if (!version.levels.some((row) => row.level === level)) throw unknownLevel(model.id, text, version);
  return level;
}

function requireServed(call: Call, model: CatalogModel): void {
  if (!isServed(model, call.gateway.fleet))
    throw new SppError('no-node', `No node serves ${model.id} at the moment.`, {
      hint: 'Try again in a moment.',
      retryAfterS: 1,
    });
}

/** Nobody has to prove who they are to be told, so that a proxy might keep it. */
function ofNow(health: object): Response {
  return Response.json(health, { headers: { 'cache-control': 'no-store' } });
}
