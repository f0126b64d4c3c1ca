/** One inference request from body and headers to the protocol's response. */
import { z } from 'zod';
import { binaryParts, headerLengthName, joinBody } from '../../../schema/binary-tensors.ts';
import { SppError } from '../../../schema/errors.ts';
import { formatServerTiming, headerNames, parseLatencyBudget } from '../../../schema/headers.ts';
import { type InferRequest, inferRequestSchema } from '../../../schema/protocol.ts';
import type { NodeMetrics } from '../metrics.ts';
import type { ServedModel } from '../model/served-model.ts';
import { selectOutputs, unpackOutputs } from '../output-tensors.ts';
import { packInputs } from '../tensors.ts';
import { readInferBody } from './infer-body.ts';

export interface InferContext {
  readonly maxBodyBytes: number;
  /** When the request came, on the clock of `performance.now()`: its latency budget starts then. */
  readonly arrivedMs: number;
  readonly metrics: NodeMetrics;
}

/**
 * @throws whatever is wrong with headers, body or tensors; what `ServedModel.infer` rejects with
 */
export async function answerInfer(
  model: ServedModel,
  level: number,
  request: Request,
  { maxBodyBytes, arrivedMs, metrics }: InferContext,
): Promise<Response> {
  const deadlineMs = readDeadline(request.headers, arrivedMs);
  const minLevel = readMinLevel(request.headers, level);
  const { json, tail } = await readInferBody(request, maxBodyBytes);
  const body = parseRequest(json);
  const { manifest } = model;
  const bytes = binaryParts(body.inputs, tail);
  const wanted = selectOutputs(manifest.outputs, body);
  const result = await model.infer({
    level,
    minLevel,
    inputs: packInputs(
      manifest.inputs,
      body.inputs.map((input, i) => ({ ...input, bytes: bytes[i] })),
    ),
    outputs: wanted.map(({ name }) => name),
    deadlineMs,
    signal: request.signal,
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
  metrics.answered({
    ...result,
    asked: level,
    leftMs: deadlineMs === undefined ? undefined : deadlineMs - performance.now(),
  });
  return tails.length === 0 ? Response.json(header, { headers }) : binaryResponse(header, tails, headers);
}

function binaryResponse(
  header: object,
  tails: readonly Uint8Array[],
  headers: Readonly<Record<string, string>>,
): Response {
  const { body, headerLength } = joinBody(header, tails);
  return new Response(body, {
    headers: {
      ...headers,
      'content-type': 'application/octet-stream',
      [headerLengthName]: String(headerLength),
    },
  });
}

/** What the gateway says is left goes before what the client said at first. */
function readDeadline(headers: Headers, arrivedMs: number): number | undefined {
  const remaining = headers.get(headerNames.budgetRemaining);
  if (remaining !== null) {
    if (Number(remaining) === 0)
      throw new SppError('budget-overrun', 'The latency budget had run out when the request came.');
    return arrivedMs + parseLatencyBudget(remaining, 'X-Latency-Budget-Remaining');
  }
  const budget = headers.get(headerNames.latencyBudget);
  return budget === null ? undefined : arrivedMs + parseLatencyBudget(budget);
}

/** How far down the node may step; without the header, not at all. */
function readMinLevel(headers: Headers, level: number): number {
  const text = headers.get(headerNames.minLevel);
  if (text === null) return level;
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

function parseRequest(body: unknown): InferRequest {
  const parsed = inferRequestSchema.safeParse(body);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues
    .slice(0, 3)
    .map(({ path, message }) => `${z.core.toDotPath(path)}: ${message}`);
  throw new SppError(
    'bad-request',
    `The body is not an inference request. ${faults.join('; ').slice(0, 500)}.`,
    {
      hint: 'Send { "inputs": [ { "name", "shape", "datatype", "data" } ] }; GET /v2/models/{model} names the inputs.',
    },
  );
}
