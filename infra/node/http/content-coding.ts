/** Bodies that were compressed on their way (`Content-Encoding`), as clients of the protocol offer to do. */
import { promisify } from 'node:util';
import { gunzip, type InputType, inflate, type ZlibOptions } from 'node:zlib';
import { type Coding, codingNamed } from '../../../schema/content-coding.ts';
import { SppError } from '../../../schema/errors.ts';
import { atMost } from './at-most.ts';
import { tooLarge } from './exchange.ts';

type Decode = (body: InputType, options: ZlibOptions) => Promise<Buffer>;

/** Node decodes on four threads; more at once would only lie in memory side by side, half decoded. */
const inTurn = atMost(4);

const decoders: Readonly<Record<Coding, Decode>> = { gzip: promisify(gunzip), deflate: promisify(inflate) };

/** What a body of this `Content-Encoding` is decoded by; undefined where it came as it is. @throws `unsupported-media-type` */
export function decoderOf(
  encoding: string | undefined,
): ((body: Uint8Array<ArrayBuffer>, maxBytes: number) => Promise<Uint8Array<ArrayBuffer>>) | undefined {
  const coding = codingNamed(encoding);
  if (coding === undefined) return undefined;
  const decode = decoders[coding];
  return async (body, maxBytes) => {
    try {
      const decoded = await inTurn(() => decode(body, { maxOutputLength: maxBytes }));
      const { buffer, byteOffset, length } = decoded;
      return new Uint8Array(buffer as ArrayBuffer, byteOffset, length);
    } catch (cause) {
      if (cause instanceof Error && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE')
        throw tooLarge(maxBytes);
      throw new SppError('bad-request', `The body cannot be decoded as ${coding}.`, {
        hint: 'Send it as Content-Encoding says, or uncompressed and without that header.',
        cause,
      });
    }
  };
}
