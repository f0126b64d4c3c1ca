/** Bodies that were compressed on their way (`Content-Encoding`), as clients of the protocol offer to do. */
import { SppError } from '../../schema/errors.ts';
import { readAll } from './read-body.ts';

export type Coding = 'gzip' | 'deflate';

const codings: Readonly<Record<string, Coding>> = {
  gzip: 'gzip',
  'x-gzip': 'gzip',
  deflate: 'deflate',
};

/** @returns how a body with these headers is decoded; undefined where it came as it is. @throws `unsupported-media-type` */
export function codingOf(headers: Headers): Coding | undefined {
  const given = headers.get('content-encoding');
  if (given === null) return undefined;
  const name = given.trim().toLowerCase();
  if (name === 'identity' || name === '') return undefined;
  const coding = Object.hasOwn(codings, name) ? codings[name] : undefined;
  if (coding === undefined)
    throw new SppError(
      'unsupported-media-type',
      `The Content-Encoding ${JSON.stringify(name.slice(0, 80))} is not supported.`,
      { hint: 'Send the body as it is, or with gzip or deflate.' },
    );
  return coding;
}

/** @throws `body-too-large` as soon as that many bytes have come out; `bad-request` where it is not what it says */
export function decoded(
  bytes: Uint8Array<ArrayBuffer>,
  coding: Coding,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(coding));
  return readAll(stream, maxBytes, (cause) => {
    throw new SppError('bad-request', `The body cannot be decoded as ${coding}.`, { cause });
  });
}
