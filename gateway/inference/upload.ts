/** The body of an inference request: kept for a second try where it is small, handed on as it comes where it is large. */
import { headerLengthName, jsonLength, splitBody } from '../../schema/binary-tensors.ts';
import { type Coding, codingNamed } from '../../schema/content-coding.ts';
import { SppError } from '../../schema/errors.ts';
import { inferRequestSchema, withoutNulls } from '../../schema/protocol.ts';
import { rowsOf } from '../../schema/sequence-length.ts';
import { decoded } from '../http/content-coding.ts';
import { continued } from '../http/continued-stream.ts';
import { brokenOff, joined, parseJson, readBody, requireLength } from '../http/read-body.ts';
import { memo } from '../state/memo.ts';
import { firstTensor, type TensorHead } from './tensor-head.ts';

export interface Upload {
  readonly bytes: number;
  /** The first tensor. */
  readonly first: FirstTensor;
  /** Its leading dimension. */
  readonly batch: number;
  readonly contentType: string;
  /** Where binary data begin; null where it is all JSON. */
  readonly headerLength: string | null;
  /** Whether it can be sent more than once. */
  readonly repeatable: boolean;
  /** Whether all of it has come and gone on to the node: until then it may be the client that takes its time. */
  arrived(): boolean;
  /** Told once when it has; never, where it has already. */
  onArrived(told: () => void): void;
  body(): BodyInit;
}

export type FirstTensor = Pick<TensorHead, 'name' | 'shape'>;

/** Larger bodies are not held in memory: they go to one node, as they come. An image of 224 x 224 in FP32 (588 KiB) is held. */
const HELD_BYTES = 640 * 1024;
/** What is wrong is looked for in JSON up to this: nobody else is answered while it is parsed. */
const EXPLAINED_BYTES = 64 * 1024;
/** In this much of a large body the first tensor's shape has to come up, or the body is held after all. */
const PREFIX_BYTES = 16 * 1024;

/**
 * A compressed body is decoded here and held.
 * @throws `unsupported-media-type`, `body-too-large`, `bad-header` for a wrong `Inference-Header-Content-Length`,
 *   `bad-json`, `bad-shape`, or `bad-request` naming what is missing; also through the promise
 */
export function readUpload(request: Request, headers: Headers, maxBytes: number): Promise<Upload> {
  const headerLength = headers.get(headerLengthName);
  const as: ReadAs = { headerLength, contentType: mediaType(headers, headerLength !== null) };
  const coding = codingNamed(headers.get('content-encoding'));
  const declared = requireLength(headers, maxBytes);
  if (coding !== undefined) return compressedUpload(request, coding, as, maxBytes);
  if (declared > HELD_BYTES && request.body !== null)
    return largeUpload(request.body, declared, as, maxBytes);
  // A length within the limit was announced, which the connection holds the body to: read in one piece, for a fraction of what chunks cost.
  if (declared >= 0)
    return request.arrayBuffer().then((buffer) => heldUpload(new Uint8Array(buffer), as), brokenOff);
  return readBody(request, maxBytes).then((bytes) => heldUpload(bytes, as));
}

/** What a body is read by. */
type ReadAs = Pick<Upload, 'contentType' | 'headerLength'>;

async function largeUpload(
  body: ReadableStream<Uint8Array>,
  declared: number,
  as: ReadAs,
  maxBytes: number,
): Promise<Upload> {
  const streamed = await streamedUpload(body, declared, jsonLength(as.headerLength, declared));
  const { first } = streamed;
  if (first !== undefined) return { ...streamed, ...as, first, batch: batchOf(first, declared) };
  return heldUpload(await readBody(new Response(streamed.body()), maxBytes), as);
}

/** Nodes get it as it was before: what they are told of its size, and what is learned of the way by it, is then true. */
async function compressedUpload(
  request: Request,
  coding: Coding,
  as: ReadAs,
  maxBytes: number,
): Promise<Upload> {
  return heldUpload(await decoded(await readBody(request, maxBytes), coding, maxBytes), as);
}

function heldUpload(bytes: Uint8Array<ArrayBuffer>, { contentType, headerLength }: ReadAs): Upload {
  const { json } = splitBody(bytes, headerLength);
  const first = firstTensor(json) ?? parsedTensor(json);
  return {
    bytes: bytes.length,
    first,
    batch: batchOf(first, bytes.length),
    contentType,
    headerLength,
    repeatable: true,
    arrived: () => true,
    onArrived: () => {},
    body: () => bytes,
  };
}

/** @returns without the first tensor where the prefix does not tell */
async function streamedUpload(body: ReadableStream<Uint8Array>, bytes: number, jsonBytes: number) {
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let prefix = new Uint8Array(0);
  let first: FirstTensor | undefined;
  while (first === undefined && prefix.length < PREFIX_BYTES) {
    const { done, value } = await reader.read().catch(brokenOff);
    if (done) break;
    chunks.push(value);
    prefix = joined([prefix, value], prefix.length + value.length);
    first = firstTensor(prefix.subarray(0, jsonBytes));
  }
  reader.releaseLock();
  let arrived = false;
  let whenArrived = () => {};
  const ended = () => {
    arrived = true;
    whenArrived();
  };
  return {
    bytes,
    first,
    repeatable: false,
    arrived: () => arrived,
    onArrived: (told: () => void) => {
      whenArrived = told;
    },
    body: () => continued(chunks, body, new FixedLengthStream(bytes), undefined, ended),
  };
}

/**
 * What a request will take of a node is predicted from its first tensor's shape, and is work ahead of others': nobody may claim more
 * than they send, where an element takes a byte at least.
 * @throws `bad-shape`
 */
function batchOf({ name, shape }: FirstTensor, bytes: number): number {
  const elements = shape.reduce((product, dimension) => product * dimension, 1);
  if (Math.max(elements, ...shape) > bytes)
    throw new SppError(
      'bad-shape',
      `The shape [${shape.join(', ')}] of ${JSON.stringify(name.slice(0, 64))} is more than a body of ${bytes} bytes can hold.`,
    );
  return rowsOf(shape);
}

/** For what the quick look did not recognise: it is wrong, or unusual. */
function parsedTensor(json: Uint8Array): FirstTensor {
  if (json.length > EXPLAINED_BYTES)
    throw new SppError('bad-request', 'The first tensor of the body is not understood.', {
      hint: `Send { "inputs": [ { "name", "shape", "datatype", "data" } ] }. What else is wrong is told of JSON up to ${EXPLAINED_BYTES / 1024} KiB.`,
    });
  const parsed = inferRequestSchema.safeParse(withoutNulls(parseJson(json)));
  if (!parsed.success) {
    const faults = parsed.error.issues
      .slice(0, 3)
      .map(({ path, message }) => `${path.join('.')}: ${message}`);
    throw new SppError(
      'bad-request',
      `The body is not an inference request. ${faults.join('; ').slice(0, 500)}.`,
      {
        hint: 'Send { "inputs": [ { "name", "shape", "datatype", "data" } ] }; GET /v2/models/{model} names the inputs.',
      },
    );
  }
  const [first] = parsed.data.inputs;
  return first ?? { name: '', shape: [] };
}

/** Without parameters, and in small letters. */
const essence = memo(64, (contentType: string) => contentType.split(';')[0]?.trim().toLowerCase() ?? '');

/**
 * No type at all is what the usual clients of the protocol send, or that of bytes, for JSON alone too: it goes to nodes as what it is. So
 * does whatever else is JSON: what a client may write there, for as long as it likes, is not for nodes to refuse.
 */
function mediaType(headers: Headers, binary: boolean): string {
  const given = headers.get('content-type');
  const type = given === null ? (binary ? 'application/octet-stream' : 'application/json') : essence(given);
  if (type === 'application/octet-stream') return binary ? type : 'application/json';
  if (type !== 'application/json' && !type.endsWith('+json'))
    throw new SppError(
      'unsupported-media-type',
      `The Content-Type ${JSON.stringify(type.slice(0, 80))} is not understood.`,
      {
        hint: 'Send Content-Type: application/json, or with binary data application/octet-stream and Inference-Header-Content-Length.',
      },
    );
  return 'application/json';
}
