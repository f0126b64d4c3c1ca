import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SppError } from '../../../schema/errors.ts';
import type { Exchange } from './exchange.ts';
import { readInferBody } from './infer-body.ts';

/** @param hold told of memory that is taken */
const exchangeOf = (
  bytes: Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
  hold: (bytes: number) => void = () => {},
): Exchange => ({
  method: 'POST',
  path: '/',
  arrivedMs: 0,
  signal: new AbortController().signal,
  holdsBody: false,
  header: (name) => headers[name],
  body: async () => bytes,
  hold,
  letGo: () => {},
});

const read = async (text: string) =>
  (await readInferBody(exchangeOf(Uint8Array.from(Buffer.from(text))), 1e6)).json;

const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;

test('a body may nest 32 deep, however it is spread, and brackets in strings nest nothing', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 34 }),
      fc.integer({ min: 0, max: 40 }),
      fc.integer({ min: 0, max: 60 }),
      async (depth, others, quoted) => {
        const text = `[${[JSON.stringify('[{"\\'.repeat(quoted)), ...Array(others).fill('{}'), nested(depth - 1) || '0'].join()}]`;
        if (depth <= 32) expect(await read(text)).toEqual(JSON.parse(text));
        else await expect(read(text)).rejects.toMatchObject({ code: 'bad-json' });
      },
    ),
  );
});

describe('a compressed body', () => {
  const text = `{"inputs":"${'x'.repeat(50_000)}"}`;
  const bytes = Uint8Array.from(gzipSync(text));
  const coded = { 'content-encoding': 'gzip' };

  test('is counted as what it became, beyond what was sent', async () => {
    let held = bytes.length;
    const hold = (more: number) => {
      held += more;
    };
    await readInferBody(exchangeOf(bytes, coded, hold), 1e6);
    expect(held).toBe(text.length);
  });

  test('is refused where there is no room for that', async () => {
    const full = (more: number) => {
      if (more > 40_000) throw new SppError('queue-full', 'no room');
    };
    await expect(readInferBody(exchangeOf(bytes, coded, full), 1e6)).rejects.toMatchObject({
      code: 'queue-full',
    });
  });
});
