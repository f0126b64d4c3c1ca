/** The node's HTTP interface: a table of routes, and what surrounds each: identity, access, log, problem documents. */
import { randomUUID } from 'node:crypto';
import { type Context, Hono } from 'hono';
import type { Logger } from 'pino';
import { binaryExtension } from '../../../schema/binary-tensors.ts';
import { problemResponse, SppError } from '../../../schema/errors.ts';
import { headerNames } from '../../../schema/headers.ts';
import type { NodeReport, NodeState } from '../../../schema/node-report.ts';
import type { ModelMetadata } from '../../../schema/protocol.ts';
import type { InFlight } from '../in-flight.ts';
import type { NodeMetrics } from '../metrics.ts';
import type { ServedModel } from '../model/served-model.ts';
import { bearerCheck } from './auth.ts';
import { answerInfer } from './infer.ts';

/** What the routes need of the node around them. */
export interface NodeView {
  readonly state: NodeState;
  /** The model in service, with the count of requests that hold it; undefined until there is one. */
  readonly current: { readonly model: ServedModel; readonly inFlight: InFlight } | undefined;
  readonly accepted: InFlight;
  report(): NodeReport;
}

export interface AppOptions {
  readonly node: NodeView;
  readonly name: string;
  readonly maxBodyBytes: number;
  /** Asked of callers; undefined lets everyone in. */
  readonly token: string | undefined;
  readonly metrics: NodeMetrics;
  readonly log: Logger;
}

interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Health is for probes, which have no token. */
  readonly open?: true;
  readonly handle: (context: Context, arrivedMs: number) => Response | Promise<Response>;
}

const REQUEST_ID = /^[\w.:-]{1,128}$/;
const TRACEPARENT = /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/;
const REQUEST_ID_HEADER = 'x-request-id';

export function nodeApp(options: AppOptions): Hono {
  const { node, log } = options;
  const checkToken = options.token === undefined ? () => {} : bearerCheck(options.token);
  const app = new Hono();
  const routes = nodeRoutes(options);

  const answer = async (context: Context, route: Route | undefined, allow: string[]): Promise<Response> => {
    const arrivedMs = performance.now();
    const { method, path } = context.req;
    const given = context.req.header(REQUEST_ID_HEADER);
    const requestId = given !== undefined && REQUEST_ID.test(given) ? given : randomUUID();
    const trace = context.req.header('traceparent');
    let response: Response;
    let failure: unknown;
    try {
      if (!route?.open) checkToken(context.req.header('authorization'));
      if (route === undefined) throw notHere(method, path, allow);
      response = await node.accepted.track(async () => route.handle(context, arrivedMs));
    } catch (error) {
      failure = error;
      response = problemResponse(error, allow.length > 0 ? { allow: allow.join(', ') } : {});
    }
    response.headers.set(REQUEST_ID_HEADER, requestId);
    // A kept connection would hold up the end of the server, and bring its client back to a node that refuses.
    if (node.state === 'draining') response.headers.set('connection', 'close');
    const fields = {
      requestId,
      ...(trace !== undefined && TRACEPARENT.test(trace) ? { traceparent: trace } : {}),
      method,
      path,
      status: response.status,
      ms: Math.round((performance.now() - arrivedMs) * 1000) / 1000,
    };
    const gone = failure !== undefined && context.req.raw.signal.aborted;
    if (gone) log.info({ ...fields, status: undefined }, 'client went away');
    else if (response.status === 500) log.error({ ...fields, err: failure }, 'request failed');
    else if (failure !== undefined) log.info({ ...fields, reason: String(failure) }, 'request refused');
    else log.debug(fields, 'request answered');
    return response;
  };

  for (const path of new Set(routes.map((route) => route.path))) {
    const here = routes.filter((route) => route.path === path);
    for (const route of here) app.on(route.method, path, (context) => answer(context, route, []));
    app.all(path, (context) =>
      answer(
        context,
        undefined,
        here.map((route) => route.method),
      ),
    );
  }
  app.notFound((context) => answer(context, undefined, []));
  app.onError((error) => {
    log.error({ err: error }, 'request failed outside of its route');
    return problemResponse(error);
  });
  return app;
}

function nodeRoutes({ node, name, maxBodyBytes, metrics }: AppOptions): Route[] {
  const current = (context: Context) => {
    if (node.current === undefined)
      throw new SppError('not-ready', 'No artifact is being served yet.', { retryAfterS: 1 });
    const { id } = node.current.model.manifest.model;
    const asked = context.req.param('model');
    if (asked !== id)
      throw new SppError('unknown-model', `There is no model ${JSON.stringify(asked)} here.`, {
        hint: `This node serves ${id}.`,
      });
    return node.current;
  };
  const requireReady = (model?: ServedModel, level?: number) => {
    if (node.state === 'draining') throw draining();
    if (node.state !== 'ready') throw new SppError('not-ready', 'The node is starting.', { retryAfterS: 1 });
    if (model !== undefined && level !== undefined && !model.serves(level))
      throw new SppError('level-unavailable', `Level ${level} cannot be served at the moment.`, {
        retryAfterS: 5,
      });
  };
  const infer = async (context: Context, arrivedMs: number, levelOf: (model: ServedModel) => number) => {
    const { headers, signal } = context.req.raw;
    try {
      if (node.state === 'draining') throw draining();
      const { model, inFlight } = current(context);
      const level = levelOf(model);
      return await inFlight.track(() =>
        answerInfer(model, level, context.req.raw, { maxBodyBytes, arrivedMs, metrics }),
      );
    } catch (error) {
      const code = signal.aborted ? 'client-gone' : error instanceof SppError ? error.code : 'internal';
      metrics.refused(
        code,
        headers.has(headerNames.latencyBudget) || headers.has(headerNames.budgetRemaining),
      );
      throw error;
    }
  };
  const modelPath = '/v2/models/:model';
  const levelPath = `${modelPath}/versions/:level`;
  return [
    {
      method: 'GET',
      path: '/v2',
      handle: () =>
        Response.json({
          name: `solution-path node ${name}`,
          version: '0.1.0',
          extensions: [binaryExtension],
        }),
    },
    { method: 'GET', path: '/v2/health/live', open: true, handle: () => Response.json({ live: true }) },
    {
      method: 'GET',
      path: '/v2/health/ready',
      open: true,
      handle: () => {
        requireReady();
        return Response.json({ ready: true });
      },
    },
    { method: 'GET', path: '/v2/report', handle: () => Response.json(node.report()) },
    {
      method: 'GET',
      path: '/metrics',
      handle: async () => {
        const { text, contentType } = await metrics.expose();
        return new Response(text, { headers: { 'content-type': contentType } });
      },
    },
    {
      method: 'GET',
      path: modelPath,
      handle: (context) => Response.json(metadata(current(context).model)),
    },
    {
      method: 'GET',
      path: `${modelPath}/ready`,
      handle: (context) => {
        const { model } = current(context);
        requireReady();
        return Response.json({ name: model.manifest.model.id, ready: true });
      },
    },
    {
      method: 'GET',
      path: levelPath,
      handle: (context) => {
        const { model } = current(context);
        const level = parseLevel(model, context.req.param('level'));
        return Response.json({ ...metadata(model), versions: [String(level)] });
      },
    },
    {
      method: 'GET',
      path: `${levelPath}/ready`,
      handle: (context) => {
        const { model } = current(context);
        const level = parseLevel(model, context.req.param('level'));
        requireReady(model, level);
        return Response.json({ name: model.manifest.model.id, version: String(level), ready: true });
      },
    },
    {
      method: 'POST',
      path: `${modelPath}/infer`,
      handle: (context, arrivedMs) => infer(context, arrivedMs, (model) => model.defaultLevel),
    },
    {
      method: 'POST',
      path: `${levelPath}/infer`,
      handle: (context, arrivedMs) =>
        infer(context, arrivedMs, (model) => parseLevel(model, context.req.param('level'))),
    },
  ];
}

function metadata(model: ServedModel): ModelMetadata {
  const { manifest } = model;
  return {
    name: manifest.model.id,
    versions: manifest.levels.map(({ level }) => String(level)),
    platform: 'onnxruntime_onnx',
    inputs: manifest.inputs,
    outputs: manifest.outputs,
    parameters: { artifact_version: manifest.model.version },
  };
}

function parseLevel(model: ServedModel, text: string | undefined): number {
  const level = /^(?:0|[1-9]\d{0,5})$/.test(text ?? '') ? Number(text) : -1;
  if (level < 0 || level > model.denseLevel)
    throw new SppError('unknown-level', `${model.manifest.model.id} has no level ${JSON.stringify(text)}.`, {
      hint: `Its levels are 0 (sparsest) to ${model.denseLevel} (dense).`,
    });
  return level;
}

function notHere(method: string, path: string, allow: readonly string[]): SppError {
  return allow.length > 0
    ? new SppError('method-not-allowed', `${path} does not take ${method}.`, {
        hint: `Use ${allow.join(' or ')}.`,
      })
    : new SppError('not-found', `There is nothing at ${path.slice(0, 200)}.`, {
        hint: 'The interface is the Open Inference Protocol under /v2.',
      });
}

function draining(): SppError {
  return new SppError('draining', 'The node is draining and takes no new requests.', {
    hint: 'Ask another node.',
    retryAfterS: 1,
  });
}
