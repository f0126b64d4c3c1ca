/** Bodies that were compressed on their way (`Content-Encoding`), as clients of the protocol offer to do. */
import { promisify } from 'node:util';
import { gunzip, type InputType, inflate, type ZlibOptions } from 'node:zlib';
import { SppError } from '../../../schema/errors.ts';
import { tooLarge } from './exchange.ts';

type Decode = (body: InputType, options: ZlibOptions) => Promise<Buffer>;

const codings: Readonly<Record<string, Decode>> = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  deflate: promisify(inflate),
};

/** What a body of this `Content-Encoding` is decoded by; undefined where it came as it is. @throws `unsupported-media-type` */
export function decoderOf(
  encoding: string | undefined,
): ((body: Uint8Array<ArrayBuffer>, maxBytes: number) => Promise<Uint8Array<ArrayBuffer>>) | undefined {
  const name = encoding?.trim().toLowerCase() ?? 'identity';
  if (name === 'identity') return undefined;
  const decode = Object.hasOwn(codings, name) ? codings[name] : undefined;
  if (decode === undefined)
    throw new SppError(
      'unsupported-media-type',
      `The Content-Encoding ${JSON.stringify(name.slice(0, 40))} is not supported.`,
      { hint: 'Send the body as it is, or with gzip or deflate.' },
    );
  return async (body, maxBytes) => {
    try {
      const { buffer, byteOffset, length } = await decode(body, { maxOutputLength: maxBytes });
      return new Uint8Array(buffer as ArrayBuffer, byteOffset, length);
    } catch (cause) {
      if (cause instanceof Error && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE')
        throw tooLarge(maxBytes);
      throw new SppError('bad-request', `The body cannot be decoded as ${name}.`, { cause });
    }
  };
}
