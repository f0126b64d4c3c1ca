/** One inference request from body and headers to the protocol's response. */
import { z } from 'zod';
import { SppError } from '../../../schema/errors.ts';
import { formatServerTiming, headerNames, parseLatencyBudget } from '../../../schema/headers.ts';
import { type InferRequest, type InferResponse, inferRequestSchema } from '../../../schema/protocol.ts';
import type { ServedModel } from '../model/served-model.ts';
import { packInputs, selectOutputs, unpackOutputs } from '../tensors.ts';
import { readJsonBody } from './json-body.ts';

/**
 * @param arrivedMs when the request came, on the clock of `performance.now()`: its latency budget starts then
 * @throws whatever is wrong with headers, body or tensors; what `ServedModel.infer` rejects with
 */
export async function answerInfer(
  model: ServedModel,
  level: number,
  request: Request,
  maxBodyBytes: number,
  arrivedMs: number,
): Promise<Response> {
  const deadlineMs = readDeadline(request.headers, arrivedMs);
  const body = parseRequest(await readJsonBody(request, maxBodyBytes));
  const { inputs, outputs } = model.manifest;
  const result = await model.infer({
    level,
    inputs: packInputs(inputs, body.inputs),
    outputs: selectOutputs(outputs, body.outputs),
    deadlineMs,
    signal: request.signal,
  });
  const response: InferResponse = {
    model_name: model.manifest.model.id,
    model_version: String(level),
    ...(body.id === undefined ? {} : { id: body.id }),
    outputs: unpackOutputs(outputs, result.outputs),
  };
  const { queueMs, loadMs, executeMs } = result;
  return Response.json(response, {
    headers: {
      'server-timing': formatServerTiming({
        queue: queueMs,
        ...(loadMs > 0 ? { load: loadMs } : {}),
        execute: executeMs,
      }),
      [headerNames.artifactVersion]: model.manifest.model.version,
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
