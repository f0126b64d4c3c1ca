import { randomBytes } from 'node:crypto';
import { deflateSync, gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { decoderOf } from './content-coding.ts';

const BODY = new Uint8Array(randomBytes(1000));
const TEN_MEGABYTES = 10 * 2 ** 20;

test.each([
  ['gzip', gzipSync],
  ['GZIP', gzipSync],
  ['x-gzip', gzipSync],
  ['deflate', deflateSync],
])('%s is undone', async (encoding, compress) => {
  expect(await decoderOf(encoding)?.(Uint8Array.from(compress(BODY)), 1000)).toEqual(BODY);
});

test.each([undefined, 'identity', ''])('a body with %j is what it is', (encoding) => {
  expect(decoderOf(encoding)).toBeUndefined();
});

test.each(['br', 'gzip, gzip', 'constructor'])('%s is refused before anything is read', (encoding) => {
  expect(() => decoderOf(encoding)).toThrow(
    expect.objectContaining({
      code: 'unsupported-media-type',
      headers: { 'accept-encoding': 'gzip, deflate' },
    }),
  );
});

test('a small body of much is given up at the limit', async () => {
  const bomb = Uint8Array.from(gzipSync(Buffer.alloc(TEN_MEGABYTES)));
  await expect(decoderOf('gzip')?.(bomb, 2 ** 20)).rejects.toMatchObject({ code: 'body-too-large' });
});

test.each([
  ['cut off', Uint8Array.from(gzipSync(BODY)).slice(0, -9)],
  ['empty', new Uint8Array()],
  ['something else', BODY],
])('a body that is %s is refused', async (_, body) => {
  await expect(decoderOf('gzip')?.(body, 2 ** 20)).rejects.toMatchObject({ code: 'bad-request' });
});
