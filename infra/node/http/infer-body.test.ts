import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Exchange } from './exchange.ts';
import { readInferBody } from './infer-body.ts';

const read = async (text: string) => {
  const exchange: Exchange = {
    method: 'POST',
    path: '/',
    arrivedMs: 0,
    signal: new AbortController().signal,
    holdsBody: false,
    header: () => undefined,
    body: async () => Uint8Array.from(Buffer.from(text)),
  };
  return (await readInferBody(exchange, 1e6)).json;
};

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
