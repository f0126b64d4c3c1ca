/** Sends one request to one node. */
import type { headerLengthName } from '../../schema/binary-tensors.ts';
import { formatMs, formatWork, headerNames, serverTiming } from '../../schema/headers.ts';
import type { NodeAddress } from '../nodes/node-address.ts';
import type { NodeNetwork } from '../nodes/node-network.ts';
import { type NodeSecrets, withSecret } from '../nodes/node-secrets.ts';
import { memo } from '../state/memo.ts';
import { type AnswerBody, readLarge, WHOLE_BYTES } from './answer-body.ts';
import type { Deadline } from './deadline.ts';
import type { Trace } from './trace.ts';
import type { Upload } from './upload.ts';

export interface ForwardRequest {
  readonly node: NodeAddress;
  readonly nodeNetwork: NodeNetwork;
  readonly nodeSecrets: NodeSecrets;
  readonly model: string;
  /** Of the artifact: another one has other levels, and the node may be changing to one. */
  readonly version: string;
  readonly level: number;
  /** The sparsest level that the node may step down to. */
  readonly minLevel: number;
  /** Rows, and sequences' length, that it is predicted and paid by. */
  readonly batch: number;
  readonly length: number;
  readonly upload: Upload;
  readonly trace: Trace;
  readonly deadline: Deadline;
  /**
   * How long the way takes with hardly anything to carry, where nothing is in the way: the node's clock, which begins with the
   * request's head and ends with the answer's, sees none of that. Of what usually is in the way it sees a part, and what it gave up
   * for the rest might have been in time.
   */
  readonly quickestWayMs: number;
  /**
   * Whether what is stopped has to be aborted by hand. Otherwise the request is answered as soon as it is stopped, and the
   * runtime drops what it has under way, which costs nothing before.
   */
  readonly abortable: boolean;
  readonly now: () => number;
}

export interface NodeAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The media type, as it says; null where it does not. */
  readonly type: string | null;
  /** That ran. */
  readonly level: number;
  /** What makes it none of a node's answers; undefined where it is one. */
  readonly fault: string | undefined;
  readonly body: AnswerBody;
  /** As the gateway measured it: from sending to having all of the answer, or its head where the rest is streamed. */
  readonly roundTripMs: number;
  readonly queueMs: number;
  readonly executeMs: number;
  /** Of the round trip, all that the node does not account for. */
  readonly networkMs: number;
}

export type Forwarded =
  | { readonly kind: 'answered'; readonly answer: NodeAnswer }
  /** The node was not reached, or went away before it had answered: another one may do the work. */
  | { readonly kind: 'unreached'; readonly cause: unknown }
  /** The deadline passed, or `stop` was called. */
  | { readonly kind: 'stopped'; readonly elapsedMs: number };

/**
 * @param ended told once what came of it; of what is stopped at once, without waiting for what is aborted: nothing of it may run any more
 *   once the request is answered
 * @returns what aborts the node's work
 */
export function forward(request: ForwardRequest, ended: (forwarded: Forwarded) => void): () => void {
  const { deadline, now } = request;
  const abort = request.abortable ? new AbortController() : undefined;
  const startedMs = now();
  let over = false;
  const end = (forwarded: Forwarded) => {
    if (over) return;
    over = true;
    ended(forwarded);
  };
  const stop = () => {
    abort?.abort();
    end({ kind: 'stopped', elapsedMs: now() - startedMs });
  };
  const kept = deadline.onPassed(stop);
  if (over) return stop;
  send(request, abort?.signal, startedMs).then(
    (answer) => {
      kept();
      const { body } = answer;
      if (body.kind === 'stream') deadline.onPassed(body.stop);
      end({ kind: 'answered', answer });
    },
    (cause: unknown) => {
      kept();
      end({ kind: 'unreached', cause });
    },
  );
  return stop;
}

/** What a node is told beside the body. */
type Headed = Record<
  | 'authorization'
  | 'content-type'
  | 'x-request-id'
  | 'traceparent'
  | typeof headerNames.budgetRemaining
  | typeof headerNames.artifactVersion
  | typeof headerNames.work,
  string
> &
  Partial<Record<'tracestate' | typeof headerLengthName | typeof headerNames.minLevel, string>>;

function ask(request: ForwardRequest, signal: AbortSignal | undefined, secret: string): Promise<Response> {
  const { node, nodeNetwork, model, version, level, minLevel, trace, upload, deadline, quickestWayMs } =
    request;
  // Names that the engine knows beforehand, which it makes an object of in a fraction of the time.
  const headers: Headed = {
    authorization: `Bearer ${secret}`,
    'content-type': upload.contentType,
    'x-request-id': trace.requestId,
    traceparent: trace.parent,
    'x-artifact-version': version,
    'x-path-work': formatWork(request.batch, request.length),
    'x-latency-budget-remaining': formatMs(Math.max(0.001, deadline.leftMs() - quickestWayMs)),
  };
  if (trace.state !== null) headers.tracestate = trace.state;
  if (upload.headerLength !== null) headers['inference-header-content-length'] = upload.headerLength;
  if (minLevel < level) headers['x-path-min-level'] = String(minLevel);
  const url = `${node.url}/v2/models/${model}/versions/${level}/infer`;
  // A node has no business sending its work elsewhere.
  const init = { method: 'POST', headers, body: upload.body(), redirect: 'manual' } as const;
  return nodeNetwork.fetch(url, signal === undefined ? init : { ...init, signal });
}

async function send(
  request: ForwardRequest,
  signal: AbortSignal | undefined,
  startedMs: number,
): Promise<NodeAnswer> {
  const { node, nodeSecrets, upload, now } = request;
  const response = await (upload.repeatable && nodeSecrets.changing
    ? withSecret(nodeSecrets, node.name, (secret) => ask(request, signal, secret))
    : ask(request, signal, nodeSecrets.of(node.name)));
  const { status, headers } = response;
  const length = Number(headers.get('content-length') ?? Number.NaN);
  // Before the body is looked at as a stream, which costs the runtime as much as reading it.
  const body: AnswerBody | undefined =
    length <= WHOLE_BYTES
      ? { kind: 'whole', bytes: await response.arrayBuffer() }
      : await readLarge(response, length);
  const roundTripMs = now() - startedMs;
  const type = headers.get('content-type');
  const said = headers.get(headerNames.pathLevel);
  const level = said === null ? request.level : Number(said);
  const version = headers.get(headerNames.artifactVersion);
  const fault = faultOf(
    type,
    body,
    status === 200 ? level : request.level,
    status === 200 ? version : null,
    request,
  );
  if (fault !== undefined && body?.kind === 'stream') body.stop();
  const timing = headers.get('server-timing') ?? '';
  const queueMs = (serverTiming(timing, 'queue') ?? 0) + (serverTiming(timing, 'load') ?? 0);
  const executeMs = serverTiming(timing, 'execute') ?? 0;
  const networkMs = Math.max(0, roundTripMs - queueMs - executeMs);
  return {
    status,
    headers,
    type,
    level,
    fault,
    body: body ?? NOTHING,
    roundTripMs,
    queueMs,
    executeMs,
    networkMs,
  };
}

const NOTHING: AnswerBody = { kind: 'whole', bytes: new Uint8Array(0) };

/**
 * Where a proxy or another server stands in the node's place, where a node goes further down than it may, and where it answers from
 * another artifact version: levels of two have nothing but their numbers in common.
 * @param ranVersion null where it does not say: nodes of other makes have one version
 */
function faultOf(
  type: string | null,
  body: AnswerBody | undefined,
  level: number,
  ranVersion: string | null,
  { level: asked, minLevel, version }: ForwardRequest,
): string | undefined {
  const kind = type === null || type === 'application/json' ? 'json' : kindOf(type);
  if (kind === 'other') return `content of the type ${JSON.stringify(type?.slice(0, 80))}`;
  if (body === undefined) return 'more than it may without telling how much';
  if (kind === 'json' && body.kind === 'whole' && !isObject(body.bytes)) return 'what is no JSON object';
  if (!(level >= minLevel && level <= asked && Number.isInteger(level)))
    return minLevel === asked ? `a level other than ${asked}` : `a level outside of ${minLevel} to ${asked}`;
  if ((ranVersion ?? version) !== version) return `a level of another version than ${version}`;
  return undefined;
}

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i;
const BINARY_TYPE = /^application\/octet-stream\s*(?:;|$)/i;
const kindOf = memo(64, (type: string) =>
  JSON_TYPE.test(type) ? 'json' : BINARY_TYPE.test(type) ? 'binary' : 'other',
);

/** By its ends alone: nothing more of an answer is looked into, and one that broke off unseen has none. */
function isObject(body: ArrayBuffer | Uint8Array): boolean {
  const bytes = body instanceof Uint8Array ? body : new Uint8Array(body);
  let [first, last] = [0, bytes.length - 1];
  while (isSpace(bytes[first])) first++;
  while (isSpace(bytes[last])) last--;
  return bytes[first] === OPENING && bytes[last] === CLOSING;
}

const [OPENING, CLOSING] = [0x7b, 0x7d];

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
