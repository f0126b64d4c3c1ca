/** One inference request from body and headers to the protocol's response. */
import { binaryParts, headerLengthName, joinBody } from '../../../schema/binary-tensors.ts';
import { SppError } from '../../../schema/errors.ts';
import { formatServerTiming, formatWork, headerNames, parseLatencyBudget } from '../../../schema/headers.ts';
import type { Manifest } from '../../../schema/manifest.ts';
import type { InferRequest } from '../../../schema/protocol.ts';
import { lengthBucket, rowsOf, sequencePorts } from '../../../schema/sequence-length.ts';
import type { InFlight } from '../in-flight.ts';
import type { NodeMetrics } from '../metrics.ts';
import type { ServedModel } from '../model/served-model.ts';
import { selectOutputs, unpackOutputs } from '../output-tensors.ts';
import { packInputs } from '../tensors.ts';
import { type Answer, type Exchange, jsonAnswer } from './exchange.ts';
import { type InferBody, readInferBody } from './infer-body.ts';
import { parseInferRequest } from './infer-request.ts';

/** What a request is for: a level of the version in service, and the count of requests that hold that version. */
export interface InferTarget {
  readonly model: ServedModel;
  readonly level: number;
  readonly inFlight: InFlight;
}

export interface InferContext {
  readonly maxBodyBytes: number;
  readonly metrics: NodeMetrics;
}

/**
 * @param target looks up what the request is for at the moment
 * @throws whatever is wrong with headers, body or tensors; what `target` throws, and what `ServedModel.infer` rejects with
 */
export async function answerInfer(
  target: () => InferTarget,
  exchange: Exchange,
  { maxBodyBytes, metrics }: InferContext,
): Promise<Answer> {
  // What is not here, or comes too late, is refused before its body is read.
  readMinLevel(exchange, target().level);
  const deadlineMs = readDeadline(exchange);
  const body = await readInferBody(exchange, maxBodyBytes, deadlineMs);
  // A body may take longer to come than a version stays that another has taken the place of.
  const { model, level, inFlight } = target();
  return await inFlight.track(() => inferOn(model, level, body, deadlineMs, exchange, metrics));
}

async function inferOn(
  model: ServedModel,
  level: number,
  { json, tail }: InferBody,
  deadlineMs: number | undefined,
  exchange: Exchange,
  metrics: NodeMetrics,
): Promise<Answer> {
  const minLevel = readMinLevel(exchange, level);
  const body = parseInferRequest(json);
  const { manifest } = model;
  requireWork(exchange, body, manifest);
  const bytes = binaryParts(body.inputs, tail);
  const wanted = selectOutputs(manifest.outputs, body);
  const { signal } = exchange;
  const result = await model.infer({
    level,
    minLevel,
    inputs: packInputs(
      manifest.inputs,
      body.inputs.map((input, i) => ({ ...input, bytes: bytes[i] })),
      model.rowsMeet,
    ),
    outputs: wanted.map(({ name }) => name),
    deadlineMs,
    signal,
  });
  const { queueMs, loadMs, executeMs } = result;
  const { outputs, tails } = unpackOutputs(manifest.outputs, wanted, result.outputs);
  const header = {
    model_name: manifest.model.id,
    model_version: String(result.level),
    ...(body.id === undefined ? {} : { id: body.id }),
    outputs,
  };
  const headers = {
    'server-timing': formatServerTiming({
      queue: queueMs,
      ...(loadMs > 0 ? { load: loadMs } : {}),
      execute: executeMs,
    }),
    [headerNames.artifactVersion]: manifest.model.version,
    [headerNames.pathLevel]: String(result.level),
    ...(result.level === level ? {} : { [headerNames.steppedFrom]: String(level) }),
  };
  const leftMs = deadlineMs === undefined ? undefined : deadlineMs - performance.now();
  metrics.ran({ ...result, asked: level, leftMs, heard: !signal.aborted });
  signal.throwIfAborted();
  return tails.length === 0 ? jsonAnswer(header, headers) : binaryAnswer(header, tails, headers);
}

function binaryAnswer(
  header: object,
  tails: readonly Uint8Array[],
  headers: Readonly<Record<string, string>>,
): Answer {
  const { body, headerLength } = joinBody(header, tails);
  return {
    status: 200,
    headers: {
      ...headers,
      'content-type': 'application/octet-stream',
      [headerLengthName]: String(headerLength),
    },
    body,
  };
}

/** The latency budget starts when the request came. What the gateway says is left goes before what the client said at first. */
function readDeadline(exchange: Exchange): number | undefined {
  const { arrivedMs } = exchange;
  const remaining = exchange.header(headerNames.budgetRemaining);
  if (remaining !== undefined) {
    if (NOTHING_LEFT.test(remaining))
      throw new SppError('budget-overrun', 'The latency budget had run out when the request came.');
    return arrivedMs + parseLatencyBudget(remaining, 'X-Latency-Budget-Remaining');
  }
  const budget = exchange.header(headerNames.latencyBudget);
  return budget === undefined ? undefined : arrivedMs + parseLatencyBudget(budget);
}

/**
 * Who predicts and charges a request reads no more of it than it must, and what stands twice in it could tell us another: of two members of
 * one name the last one counts.
 * @throws `bad-request`
 */
function requireWork(exchange: Exchange, { inputs }: InferRequest, manifest: Manifest): void {
  const told = exchange.header(headerNames.work);
  const [first] = inputs;
  if (told === undefined || first === undefined) return;
  const sequence = sequencePorts(manifest.inputs).some(({ name }) => name === first.name);
  const work = formatWork(rowsOf(first.shape), sequence ? lengthBucket(first.shape[1] ?? 0) : 0);
  if (told.trim() === work) return;
  throw new SppError(
    'bad-request',
    `The first tensor was read as ${told.slice(0, 40)} (rows, and length), but comes to ${work}.`,
    { hint: 'Send each member of the body once.' },
  );
}

const NOTHING_LEFT = /^\s*0+(?:\.0+)?(?:ms|s)?\s*$/;

/** How far down the node may step; without the header, not at all. */
function readMinLevel(exchange: Exchange, level: number): number {
  const text = exchange.header(headerNames.minLevel);
  if (text === undefined) return level;
  const minLevel = /^\d{1,6}$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (!(minLevel <= level))
    throw new SppError(
      'bad-header',
      `X-Path-Min-Level: ${JSON.stringify(text.slice(0, 40))} is not a level up to ${level}.`,
      {
        hint: 'Send the sparsest level that will do; it is at most the one asked for.',
        details: { header: 'X-Path-Min-Level' },
      },
    );
  return minLevel;
}
