/**
 * From a parsed body to the protocol's request. The schema is the rule and gives the messages; well-formed bodies, which is
 * nearly all of them, are seen to be so by a check that asks the same of them at a tenth of the cost.
 */
import { z } from 'zod';
import { SppError } from '../../../schema/errors.ts';
import { datatypes, type InferRequest, inferRequestSchema, withoutNulls } from '../../../schema/protocol.ts';

/** @throws `bad-request` with the first faults */
export function parseInferRequest(body: unknown): InferRequest {
  if (isInferRequest(body)) return body;
  const parsed = inferRequestSchema.safeParse(withoutNulls(body));
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues
    .slice(0, 3)
    .map(({ path, message }) => (path.length > 0 ? `${z.core.toDotPath(path)}: ${message}` : message));
  throw new SppError(
    'bad-request',
    `The body is not an inference request. ${faults.join('; ').slice(0, 500)}.`,
    {
      hint: 'Send { "inputs": [ { "name", "shape", "datatype", "data" } ] }; GET /v2/models/{model} names the inputs.',
    },
  );
}

/** Whether `inferRequestSchema` takes a parsed JSON value as it is; false leaves the decision to the schema. */
export function isInferRequest(body: unknown): body is InferRequest {
  if (!isPlain(body)) return false;
  const { id, parameters, inputs, outputs } = body;
  return (
    (id === undefined || (typeof id === 'string' && id.length <= 256)) &&
    (parameters === undefined || areParameters(parameters)) &&
    Array.isArray(inputs) &&
    inputs.length >= 1 &&
    inputs.length <= MOST_TENSORS &&
    inputs.every(isTensor) &&
    (outputs === undefined ||
      (Array.isArray(outputs) && outputs.length <= MOST_TENSORS && outputs.every(isOutput)))
  );
}

const MOST_TENSORS = 64;
const MOST_DIMS = 16;

function isTensor(value: unknown): boolean {
  return (
    isOutput(value) &&
    typeof value.datatype === 'string' &&
    Object.hasOwn(datatypes, value.datatype) &&
    Array.isArray(value.shape) &&
    value.shape.length <= MOST_DIMS &&
    value.shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0) &&
    (value.data === undefined || Array.isArray(value.data))
  );
}

/** What inputs and outputs have in common. */
function isOutput(value: unknown): value is Record<string, unknown> {
  return (
    isPlain(value) &&
    typeof value.name === 'string' &&
    value.name.length > 0 &&
    (value.parameters === undefined || areParameters(value.parameters))
  );
}

function areParameters(value: unknown): boolean {
  return (
    isPlain(value) &&
    Object.values(value).every(
      (each) => typeof each === 'string' || typeof each === 'boolean' || Number.isFinite(each),
    )
  );
}

/** An object without a member that could be mistaken for what objects inherit. */
function isPlain(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !Object.hasOwn(value, '__proto__')
  );
}
