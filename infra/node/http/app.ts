/** The node's HTTP interface: what surrounds each route: identity, access, log, problem documents. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { problemDocument, SppError } from '../../../schema/errors.ts';
import { bearerCheck } from './auth.ts';
import { bodyRoom } from './body-room.ts';
import { type Answer, exchangeOf, problemAnswer, send } from './exchange.ts';
import { endsItsConnection, requireHttpRules } from './message-rules.ts';
import { pipelineLimit } from './pipeline-limit.ts';
import { nodeRoutes, type RouteOptions, routeMatcher } from './routes.ts';
import type { Unanswered } from './unanswered.ts';
import { giveUpUnread } from './unread-answers.ts';

export interface AppOptions extends RouteOptions {
  /** Asked of callers; undefined lets everyone in. */
  readonly token: string | undefined;
  /** Counts the requests of each connection. */
  readonly unanswered: Unanswered;
  /** What bodies of requests without an answer may take together. */
  readonly maxBodiesBytes: number;
  /** How long a client may take nothing of its answer. */
  readonly unreadMs: number;
  readonly log: Logger;
}

const REQUEST_ID = /^[\w.:-]{1,128}$/;
const TRACEPARENT = /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/;
const REQUEST_ID_HEADER = 'x-request-id';

export function nodeApp(options: AppOptions): RequestListener {
  const { node, log } = options;
  const checkToken = options.token === undefined ? () => {} : bearerCheck(options.token);
  const match = routeMatcher(nodeRoutes(options));
  const placeOf = pipelineLimit();
  const room = bodyRoom(options.maxBodiesBytes);

  /** A kept connection would hold up the end of the server, and bring its client back to a node that refuses. */
  const isLastWhileDraining = ({ socket }: IncomingMessage, response: ServerResponse) =>
    node.state === 'draining' && options.unanswered.of(socket).at(-1) === response;

  /** @param fault of its connection, which ends with this answer */
  const answer = async (
    request: IncomingMessage,
    response: ServerResponse,
    arrivedMs: number,
    fault?: SppError,
  ) => {
    const exchange = exchangeOf(request, response, room, arrivedMs);
    const { method, path } = exchange;
    const given = exchange.header(REQUEST_ID_HEADER);
    const requestId = given !== undefined && REQUEST_ID.test(given) ? given : randomUUID();
    const { route, params, allow } = match(method, path);
    let result: Answer;
    let failure: unknown;
    try {
      if (fault !== undefined) throw fault;
      requireHttpRules(request);
      if (!route?.open) checkToken(exchange.header('authorization'));
      if (route === undefined) throw notHere(method, path, allow);
      result = await route.handle(exchange, params);
    } catch (error) {
      const { aborted, reason } = exchange.signal;
      // Who has left is the cause of whatever came of the request then.
      failure = aborted ? (options.unanswered.brokenBy(request) ?? reason) : error;
      route?.refused?.(failure, exchange);
      result = problemAnswer(
        failure,
        route === undefined && allow.length > 0 ? { allow: allow.join(', ') } : {},
      );
    }
    exchange.letGo();
    send(response, {
      ...result,
      headers: {
        ...result.headers,
        [REQUEST_ID_HEADER]: requestId,
        // Who is asked how it is, is not to be answered for by a proxy that keeps what it said.
        ...(method === 'POST' ? {} : { 'cache-control': 'no-store' }),
        // A client that was not told to send its body may send it, or the next request: nobody could tell them apart.
        ...(fault !== undefined ||
        exchange.holdsBody ||
        endsItsConnection(request) ||
        isLastWhileDraining(request, response)
          ? { connection: 'close' }
          : {}),
      },
    });
    giveUpUnread(response, options.unreadMs, () =>
      log.info({ requestId, path }, 'an answer was not taken by its client'),
    );
    if (failure === undefined && !log.isLevelEnabled('debug')) return;
    const trace = exchange.header('traceparent');
    const fields = {
      requestId,
      ...(trace !== undefined && TRACEPARENT.test(trace) ? { traceparent: trace } : {}),
      method,
      path,
      status: result.status,
      ms: Math.round((performance.now() - arrivedMs) * 1000) / 1000,
    };
    if (failure !== undefined && failure === exchange.signal.reason)
      log.info({ ...fields, status: undefined }, 'client went away');
    else if (result.status === 500) log.error({ ...fields, err: failure }, 'request failed');
    else if (failure !== undefined) log.info({ ...fields, ...reasonOf(failure) }, 'request refused');
    else log.debug(fields, 'request answered');
  };

  return (request, response) => {
    const arrivedMs = performance.now();
    const begin = (fault?: SppError) => {
      answer(request, response, arrivedMs, fault).catch((error: unknown) => {
        log.error({ err: error }, 'request failed outside of its route');
        response.destroy();
      });
    };
    options.unanswered.add(request, response);
    if (placeOf(request, response, begin) === 'last') begin(tooFarAhead());
  };
}

/** Whose words may quote what a body holds. */
const OF_BODIES: ReadonlySet<string> = new Set(['bad-json', 'bad-request', 'bad-shape', 'bad-datatype']);

/** A refusal as the log tells it: what a client sent as its input is told to that client alone. */
function reasonOf(failure: unknown): { code: string; reason: string } {
  const { code, title, detail } = problemDocument(failure);
  return { code, reason: OF_BODIES.has(code) ? title : detail };
}

function tooFarAhead(): SppError {
  return new SppError('queue-full', 'Too many requests that were sent ahead of their answers wait here.', {
    hint: 'Fetch answers before sending more, or open more connections.',
    retryAfterS: 1,
  });
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
