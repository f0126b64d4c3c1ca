/** The Open Inference Protocol: health, metadata, inference. */
import type { ApiKeyRow } from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import { readBody, requireJson } from '../http/read-body.ts';
import { dispatch, routedVersion, unknownLevel } from '../inference/dispatch.ts';
import { readBatchSize, readBudgets } from '../inference/infer-request.ts';
import { levelMetadata, modelMetadata } from '../inference/metadata.ts';
import { rulesForRequest } from '../policy/request-rules.ts';
import type { Call, Route } from '../route.ts';
import type { CatalogModel } from '../storage/catalog.ts';

const MODEL = '/v2/models/:model';
const LEVEL = `${MODEL}/versions/:level`;

/** Headers that mean something to nodes and to traces. */
const FORWARDED = ['traceparent', 'tracestate'] as const;

export const inferenceRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v2',
    access: 'client',
    handle: () => Response.json({ name: 'solution-path', version: '0.1.0', extensions: ['path_levels'] }),
  },
  { method: 'GET', path: '/v2/health/live', access: 'open', handle: () => Response.json({ live: true }) },
  {
    method: 'GET',
    path: '/v2/health/ready',
    access: 'open',
    async handle(call) {
      const models = [...(await call.gateway.catalog.get(call.background)).values()];
      await call.gateway.policy.get(call.background);
      await call.gateway.fleet.refresh(call.background);
      if (!models.some((model) => isServed(call, model)))
        throw new SppError('not-ready', 'No model is served by any node at the moment.', { retryAfterS: 1 });
      return Response.json({ ready: true });
    },
  },
  {
    method: 'GET',
    path: MODEL,
    access: 'client',
    async handle(call) {
      const model = await findModel(call);
      const policy = await call.gateway.policy.get(call.background);
      await call.gateway.fleet.refresh(call.background);
      return Response.json(modelMetadata(model, call.gateway.fleet, policy.document));
    },
  },
  {
    method: 'GET',
    path: `${MODEL}/ready`,
    access: 'client',
    async handle(call) {
      const model = await findModel(call);
      await call.gateway.fleet.refresh(call.background);
      requireServed(call, model);
      return Response.json({ name: model.id, ready: true });
    },
  },
  {
    method: 'GET',
    path: LEVEL,
    access: 'client',
    async handle(call) {
      const model = await findModel(call);
      const policy = await call.gateway.policy.get(call.background);
      await call.gateway.fleet.refresh(call.background);
      const level = findLevel(call, model);
      return Response.json(levelMetadata(model, level, call.gateway.fleet, policy.document));
    },
  },
  {
    method: 'GET',
    path: `${LEVEL}/ready`,
    access: 'client',
    async handle(call) {
      const model = await findModel(call);
      await call.gateway.fleet.refresh(call.background);
      const level = findLevel(call, model);
      requireServed(call, model);
      return Response.json({ name: model.id, version: String(level), ready: true });
    },
  },
  {
    method: 'POST',
    path: `${MODEL}/infer`,
    access: 'client',
    handle: (call) => infer(call, () => undefined),
  },
  { method: 'POST', path: `${LEVEL}/infer`, access: 'client', handle: (call) => infer(call, findLevel) },
];

async function infer(
  call: Call,
  pin: (call: Call, model: CatalogModel) => number | undefined,
): Promise<Response> {
  const { gateway, request, background } = call;
  const budgets = readBudgets(request.headers);
  const model = await findModel(call);
  requireJson(request.headers);
  const body = await readBody(request, gateway.settings.maxBodyBytes);
  const batch = readBatchSize(body);
  const policy = await gateway.policy.get(background);
  const rules = rulesForRequest(policy.document, budgets, clientKey(call));
  await gateway.fleet.refresh(background);
  return dispatch(
    {
      model,
      pinnedLevel: pin(call, model),
      rules,
      batch,
      body,
      headers: forwarded(call),
      receivedMs: call.receivedMs,
    },
    { fleet: gateway.fleet, policy, nodeToken: gateway.settings.nodeToken, now: gateway.now },
  );
}

/** A model that the caller's key may not use is, to it, not there. */
async function findModel(call: Call): Promise<CatalogModel> {
  const { gateway, param, background } = call;
  const allowed = clientKey(call)?.models ?? null;
  const catalog = await gateway.catalog.get(background);
  const name = param('model');
  const model = allowed === null || allowed.includes(name) ? catalog.get(name) : undefined;
  if (model !== undefined) return model;
  const there = [...catalog.keys()].filter((id) => allowed === null || allowed.includes(id));
  throw new SppError('unknown-model', `There is no model ${JSON.stringify(name.slice(0, 64))}.`, {
    hint: there.length === 0 ? 'No model has been uploaded yet.' : `There is ${there.join(', ')}.`,
  });
}

function clientKey({ identity }: Call): ApiKeyRow | undefined {
  return identity.kind === 'client' ? identity.key : undefined;
}

function findLevel({ gateway, param }: Call, model: CatalogModel): number {
  const version = routedVersion(model, gateway.fleet);
  const text = param('level');
  const level = /^(?:0|[1-9]\d{0,5})$/.test(text) ? Number(text) : Number.NaN;
  if (!version.levels.some((row) => row.level === level)) throw unknownLevel(model.id, text, version);
  return level;
}

function isServed({ gateway }: Call, model: CatalogModel): boolean {
  const live = gateway.fleet.liveVersions(model.id);
  return [...model.versions.keys()].some((version) => live.has(version));
}

function requireServed(call: Call, model: CatalogModel): void {
  if (!isServed(call, model))
    throw new SppError('no-node', `No node serves ${model.id} at the moment.`, { retryAfterS: 1 });
}

function forwarded({ request, requestId }: Call): Record<string, string> {
  const headers: Record<string, string> = { 'x-request-id': requestId };
  for (const name of FORWARDED) {
    const value = request.headers.get(name);
    if (value !== null) headers[name] = value;
  }
  return headers;
}
