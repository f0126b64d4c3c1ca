/** Request bodies, read once and within a limit. */
import { SppError } from '../../schema/errors.ts';

/**
 * @throws `body-too-large` as soon as that is known, whatever Content-Length said; `bad-request` when the body breaks off
 */
export async function readBody(
  request: Pick<Request, 'headers' | 'body'>,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  requireLength(request.headers, maxBytes);
  const reader = request.body?.getReader();
  const chunks: Uint8Array[] = [];
  let total = 0;
  while (reader !== undefined) {
    const { done, value } = await reader.read().catch(brokenOff);
    if (done) break;
    total += value.length;
    if (total > maxBytes) {
      reader.releaseLock();
      throw tooLarge(maxBytes);
    }
    chunks.push(value);
  }
  const [only] = chunks;
  return only !== undefined && chunks.length === 1
    ? (only as Uint8Array<ArrayBuffer>)
    : joined(chunks, total);
}

/** @param total bytes of all of them */
export function joined(chunks: readonly Uint8Array[], total: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(total);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

/** @returns what Content-Length says, NaN without it. @throws `body-too-large` */
export function requireLength(headers: Headers, maxBytes: number): number {
  const declared = Number(headers.get('content-length') ?? Number.NaN);
  if (declared > maxBytes) throw tooLarge(maxBytes);
  return declared;
}

export function brokenOff(cause: unknown): never {
  throw new SppError('bad-request', 'The body broke off before its end.', {
    hint: 'Send all of it; where Content-Length is sent, it is the number of its bytes.',
    cause,
  });
}

/** Behind a mark of the order of bytes, too, with which some editors and libraries begin what they write. @throws `bad-json` */
export function parseJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch (cause) {
    throw new SppError('bad-json', 'The body is not UTF-8.', { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.slice(0, 200) : 'it cannot be parsed';
    throw new SppError('bad-json', `The body is not valid JSON: ${reason}.`, { cause });
  }
}

/** @throws `unsupported-media-type` unless the body is announced as uncompressed JSON */
export function requireJson(headers: Headers): void {
  const type = headers.get('content-type')?.split(';')[0]?.trim().toLowerCase() ?? '';
  if (type !== 'application/json' && !type.endsWith('+json'))
    throw new SppError(
      'unsupported-media-type',
      type === ''
        ? 'The request has no Content-Type.'
        : `The Content-Type ${JSON.stringify(type)} is not JSON.`,
      { hint: 'Send Content-Type: application/json.' },
    );
  const encoding = headers.get('content-encoding')?.toLowerCase() ?? 'identity';
  if (encoding !== 'identity')
    throw new SppError(
      'unsupported-media-type',
      `The Content-Encoding ${JSON.stringify(encoding)} is not supported.`,
      { hint: 'Send the body uncompressed.' },
    );
}

export function tooLarge(maxBytes: number): SppError {
  return new SppError('body-too-large', `The body is over the limit of ${maxBytes} bytes.`, {
    hint: 'Send it in smaller parts.',
    details: { maxBodyBytes: maxBytes },
  });
}
