/** The routes as a Hono app, and what surrounds each of them: identity, access, problem documents. */
import { Hono } from 'hono';
import { problemResponse, SppError } from '../schema/errors.ts';
import type { Policy } from '../schema/policy.ts';
import { requireAccess } from './auth/bearer.ts';
import type { Identity } from './auth/identity.ts';
import { countRequest } from './budget/limits.ts';
import type { Gateway } from './gateway.ts';
import { crossOrigin } from './http/cross-origin.ts';
import { Deadline } from './inference/deadline.ts';
import { firstBoundMs } from './inference/infer-request.ts';
import { logFailure } from './log.ts';
import type { Call, Route } from './route.ts';
import { artifactRoutes } from './routes/artifacts.ts';
import { consoleRoutes } from './routes/console.ts';
import { decisionRoutes } from './routes/decisions.ts';
import { documentRoutes } from './routes/documents.ts';
import { inferenceRoutes } from './routes/inference.ts';
import { keyRoutes } from './routes/keys.ts';
import { metricsRoutes } from './routes/metrics.ts';
import { modelRoutes } from './routes/models.ts';
import { nodeRoutes } from './routes/nodes.ts';
import { operationRoutes } from './routes/operations.ts';
import { operatorTokenRoutes } from './routes/operator-tokens.ts';
import { policyRoutes } from './routes/policy.ts';
import { problemRoutes } from './routes/problems.ts';
import { uploadRoutes } from './routes/uploads.ts';
import { RequestBackground } from './state/background.ts';
import type { Background } from './state/cell.ts';
import { memo } from './state/memo.ts';
import { foreseen } from './storage/store-failure.ts';

const described: readonly Route[] = [
  ...inferenceRoutes,
  ...policyRoutes,
  ...modelRoutes,
  ...keyRoutes,
  ...operatorTokenRoutes,
  ...decisionRoutes,
  ...nodeRoutes,
  ...operationRoutes,
  ...metricsRoutes,
  ...artifactRoutes,
  ...uploadRoutes,
  ...problemRoutes,
  ...consoleRoutes,
];

export const routes: readonly Route[] = [...described, ...documentRoutes(described)];

const REQUEST_ID = /^[\w.:-]{1,128}$/;

/** The address that nearly all requests have; what else can be written for it is left to the router. */
const INFER = /^https?:\/\/[^/?#]+\/v2\/models\/([A-Za-z0-9._-]+)\/infer$/;
const ADDRESSES_KEPT = 256;
const INFER_PATH = '/v2/models/:model/infer';

export interface App {
  fetch(request: Request, bindings: object, context: ExecutionContext): Response | Promise<Response>;
}

export function createApp(gateway: Gateway): App {
  const router = createRouter(gateway);
  const infer = routes.find(({ path, method }) => path === INFER_PATH && method === 'POST');
  if (infer === undefined || gateway.settings.corsOrigins.length > 0) return router;
  const modelOf = memo(ADDRESSES_KEPT, (url: string) => INFER.exec(url)?.[1] ?? '');
  return {
    fetch(request, bindings, context) {
      const model = request.method === 'POST' ? modelOf(request.url) : '';
      if (model === '') return router.fetch(request, bindings, context);
      return answer(gateway, { request, context, param: (name) => (name === 'model' ? model : '') }, infer);
    },
  };
}

function createRouter(gateway: Gateway): Hono {
  const app = new Hono();
  const named = ({ headers }: Request) => ({ 'x-request-id': requestId(headers, gateway.randomHex) });
  if (gateway.settings.corsOrigins.length > 0) app.use(crossOrigin(gateway.settings.corsOrigins));
  for (const path of new Set(routes.map((route) => route.path))) {
    const here = routes.filter((route) => route.path === path);
    const byMethod = new Map<string, Route>(here.map((route) => [route.method, route]));
    const get = byMethod.get('GET');
    if (get !== undefined) byMethod.set('HEAD', get);
    const allow = here.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method])).join(', ');
    // One handler a path: with several, Hono composes them anew for each request.
    app.all(path, (context) => {
      const route = byMethod.get(context.req.method);
      const param = (name: string) => context.req.param(name) ?? '';
      if (route !== undefined)
        return answer(gateway, { request: context.req.raw, context: context.executionCtx, param }, route);
      const message = `${context.req.path} does not take ${context.req.method}.`;
      const error = new SppError('method-not-allowed', message, { hint: `Use ${allow}.` });
      return refusal(context.req.raw, error, { allow, ...named(context.req.raw) });
    });
  }
  app.notFound((context) =>
    refusal(
      context.req.raw,
      new SppError('not-found', `There is nothing at ${context.req.path.slice(0, 200)}.`, {
        hint: 'Inference is under /v2, operation under /v1.',
      }),
      named(context.req.raw),
    ),
  );
  app.onError((error, context) => refusal(context.req.raw, error, named(context.req.raw)));
  return app;
}

/** What a route is asked with. */
interface Asked extends Pick<Call, 'request' | 'param'> {
  readonly context: Background;
}

async function answer(gateway: Gateway, { request, context, param }: Asked, route: Route): Promise<Response> {
  const { steady } = gateway;
  const receivedMs = gateway.now();
  const { headers } = request;
  const background = new RequestBackground(context);
  const id = requestId(headers, gateway.randomHex);
  const told = new Map<string, string>().set('x-request-id', id);
  const begunMs = steady.now();
  let clock: Deadline | undefined;
  try {
    const known = route.timed ? gateway.known(background) : undefined;
    if (known !== undefined) {
      const boundMs = firstBoundMs(headers, lastKnown(gateway), !(known instanceof Promise));
      clock = new Deadline(begunMs, boundMs, steady.now, gateway.timerLateness);
    }
    // Whoever is refused does not wait for it; others do, so it is not dropped with the request.
    if (known instanceof Promise) background.waitUntil(known.catch(() => {}));
    const admission = admitted(gateway, route, headers, told, background, receivedMs);
    // What is in hand is not waited for: a wait costs a turn of the runtime's queue.
    const waits = admission instanceof Promise;
    const identity = waits ? await (clock?.bound(admission) ?? admission) : admission;
    const response = await route.handle({
      gateway,
      request,
      headers,
      param,
      identity,
      receivedMs,
      clock,
      known,
      requestId: id,
      told,
      background,
    });
    if (!route.timed) for (const [name, value] of told) response.headers.set(name, value);
    return response;
  } catch (thrown) {
    const error = foreseen(thrown, request.method !== 'GET' && request.method !== 'HEAD');
    clock?.release();
    if (route.access === 'client')
      gateway.metrics.refused(error instanceof SppError ? error.code : 'internal');
    return refusal(request, error, Object.fromEntries(told));
  }
}

/** The policies that requests went by until now; one of them governs this one, most likely. */
function lastKnown({ policy }: Gateway): readonly Policy[] | undefined {
  const held = policy.held();
  if (held === undefined) return undefined;
  return held.baseline === undefined ? [held.document] : [held.document, held.baseline.document];
}

/** Who asks, if they may, and not too often. */
function admitted(
  gateway: Gateway,
  route: Route,
  headers: Headers,
  told: Map<string, string>,
  background: Background,
  nowMs: number,
): Identity | Promise<Identity> {
  const identity = requireAccess(route.access, headers.get('authorization'), {
    settings: gateway.settings,
    keys: gateway.keys,
    operatorTokens: gateway.operatorTokens,
    nodeTokens: gateway.nodeTokens,
    oidc: gateway.oidc,
    proven: gateway.proven,
    background,
    nowMs,
  });
  const counted = (who: Identity): Identity | Promise<Identity> => {
    if (who.kind !== 'client') return who;
    const counting = countRequest(who.key, told, { purses: gateway.purses, background, nowMs });
    return counting instanceof Promise ? counting.then(() => who) : who;
  };
  return identity instanceof Promise ? identity.then(counted) : counted(identity);
}

/** The problem document of an error; what is our own fault, or has a cause that the client is not told, goes to the log. */
function refusal(request: Request, error: unknown, headers: Record<string, string> = {}): Response {
  const response = problemResponse(error, {
    ...headers,
    'cache-control': 'no-store',
    ...(error instanceof SppError && error.code === 'unauthorized' ? { 'www-authenticate': 'Bearer' } : {}),
  });
  const told = error instanceof SppError && error.cause === undefined && error.code !== 'upstream-failed';
  if (response.status >= 500 && !told) {
    logFailure('request failed', error, {
      method: request.method,
      path: new URL(request.url).pathname,
      status: response.status,
      requestId: headers['x-request-id'],
    });
  }
  return response;
}

function requestId(headers: Headers, randomHex: Gateway['randomHex']): string {
  const given = headers.get('x-request-id');
  return given !== null && REQUEST_ID.test(given) ? given : randomHex(16);
}
