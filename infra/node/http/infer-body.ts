/** Reads an inference body, JSON or JSON with binary data behind it, within bounds on its size and depth. */
import { headerLengthName, splitBody } from '../../../schema/binary-tensors.ts';
import { SppError } from '../../../schema/errors.ts';
import { decoderOf } from './content-coding.ts';
import type { Exchange } from './exchange.ts';

/** The protocol needs 4 levels around a tensor of at most 16 dimensions. */
const MAX_DEPTH = 32;

export interface InferBody {
  readonly json: unknown;
  /** What follows the JSON object. */
  readonly tail: Uint8Array<ArrayBuffer>;
}

/**
 * @param maxBytes of the body as it is sent, and of what it is decoded to
 * @param deadlineMs when nobody wants an answer any more, on the clock of `performance.now()`
 * @throws `unsupported-media-type`, `body-too-large`, `budget-overrun` for a body that is not whole at its deadline, `queue-full` where bodies together take too much, `bad-header` for a wrong `Inference-Header-Content-Length`, `bad-json`; `bad-request`
 *   for a body that cannot be decoded
 */
export async function readInferBody(
  exchange: Exchange,
  maxBytes: number,
  deadlineMs?: number,
): Promise<InferBody> {
  const headerLength = exchange.header(headerLengthName) ?? null;
  requireMediaType(exchange);
  const decode = decoderOf(exchange.header('content-encoding'));
  const jsonBytes = Number(headerLength);
  // What is no length is refused once the body is here, by `splitBody`.
  const sent = await exchange.body(maxBytes, Number.isSafeInteger(jsonBytes) ? jsonBytes : 0, deadlineMs);
  const body = decode === undefined ? sent : await decode(sent, maxBytes);
  exchange.hold(body.length - sent.length);
  const { json, tail } = splitBody(body, headerLength);
  // A length of another request is a usual mistake: tritonclient leaves it in the headers that it was handed.
  const what =
    headerLength === null
      ? 'The body'
      : `What Inference-Header-Content-Length says is JSON, the first ${json.length} of ${body.length} bytes,`;
  return { json: parseJson(json, what), tail };
}

const LENGTH_HINT =
  'A body with binary data needs Inference-Header-Content-Length, the length of its JSON object.';

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** @param what the bytes are, as the beginning of a sentence */
function parseJson(bytes: Uint8Array, what: string): unknown {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch (cause) {
    throw new SppError('bad-json', `${what} is not UTF-8.`, {
      hint: LENGTH_HINT,
      cause,
    });
  }
  requireShallow(bytes);
  try {
    return JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.slice(0, 200) : 'it cannot be parsed';
    throw new SppError('bad-json', `${what} is not valid JSON: ${reason}.`, { hint: LENGTH_HINT, cause });
  }
}

/** The usual clients send no type at all, or that of bytes, which their libraries give to any body; for JSON alone, too. */
function requireMediaType(exchange: Exchange): void {
  const type = exchange.header('content-type')?.split(';')[0]?.trim().toLowerCase();
  const known =
    type === undefined ||
    type === 'application/json' ||
    type.endsWith('+json') ||
    type === 'application/octet-stream';
  if (!known)
    throw new SppError(
      'unsupported-media-type',
      `The Content-Type ${JSON.stringify(type)} is not understood.`,
      {
        hint: 'Send Content-Type: application/json, or with binary data application/octet-stream and Inference-Header-Content-Length.',
      },
    );
}

/** Millions of brackets are a small body but hundreds of megabytes of arrays: depth is bounded before parsing. */
function requireShallow(bytes: Uint8Array): void {
  if (hasFewBrackets(bytes)) return;
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (quoted) {
      if (byte === BACKSLASH) i++;
      else if (byte === QUOTE) quoted = false;
    } else if (byte === QUOTE) quoted = true;
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      depth++;
      if (depth > MAX_DEPTH)
        throw new SppError('bad-json', `The body nests deeper than ${MAX_DEPTH} arrays and objects.`);
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) depth--;
  }
}

/** Too few to nest too deep, wherever they stand: so are nearly all bodies, and a Buffer finds them fast. */
function hasFewBrackets({ buffer, byteOffset, length }: Uint8Array): boolean {
  const bytes = Buffer.from(buffer, byteOffset, length);
  let count = 0;
  for (const bracket of [OPEN_ARRAY, OPEN_OBJECT])
    for (let at = bytes.indexOf(bracket); at >= 0; at = bytes.indexOf(bracket, at + 1))
      if (++count > MAX_DEPTH) return false;
  return true;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
