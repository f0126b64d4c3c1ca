import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseJson, readBody, requireJson } from './read-body.ts';

/** @param declared what Content-Length says, true or not */
function post(
  chunks: readonly (Uint8Array | Error)[],
  declared?: number,
): { request: Request; taken: () => number } {
  const left = [...chunks];
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const next = left.shift();
      if (next === undefined) controller.close();
      else if (next instanceof Error) controller.error(next);
      else controller.enqueue(next);
    },
  });
  const headers = new Headers(declared === undefined ? {} : { 'content-length': String(declared) });
  return { request: { headers, body } as unknown as Request, taken: () => chunks.length - left.length };
}

describe('reading a body', () => {
  test('joins what comes in parts', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 6 }), async (parts) => {
        const bytes = await readBody(post(parts).request, 1000);
        expect([...bytes]).toEqual(parts.flatMap((part) => [...part]));
      }),
    );
  });

  test('takes as much as the limit and not a byte more', async () => {
    expect(await readBody(post([new Uint8Array(10)]).request, 10)).toHaveLength(10);
    await expect(readBody(post([new Uint8Array(11)]).request, 10)).rejects.toMatchObject({
      code: 'body-too-large',
    });
  });

  test('refuses by the announced length without reading', async () => {
    const { request } = post([new Error('must not be read')], 11);
    await expect(readBody(request, 10)).rejects.toMatchObject({ code: 'body-too-large' });
  });

  test('stops a body that is longer than announced at the limit', async () => {
    const endless = Array.from({ length: 1000 }, () => new Uint8Array(4));
    const { request, taken } = post(endless, 4);
    await expect(readBody(request, 10)).rejects.toMatchObject({ code: 'body-too-large' });
    expect(taken()).toBeLessThan(6);
    expect(request.body?.locked).toBe(false);
  });

  test('a body that breaks off is the sender’s fault', async () => {
    const { request } = post([new Uint8Array(3), new Error('connection lost')], 100);
    await expect(readBody(request, 1000)).rejects.toMatchObject({ code: 'bad-request' });
  });
});

describe('JSON', () => {
  test('is read back', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(parseJson(new TextEncoder().encode(text))).toEqual(JSON.parse(text));
      }),
    );
  });

  test('is read behind a mark of the order of bytes', () => {
    expect(parseJson(new TextEncoder().encode('\ufeff{"a":1}'))).toEqual({ a: 1 });
  });

  test.each([
    new Uint8Array(0),
    Uint8Array.of(0xff),
    new TextEncoder().encode('{"a":1'),
    new TextEncoder().encode('{a:1}'),
  ])('that is none is bad-json: %j', (bytes) => {
    expect(() => parseJson(bytes)).toThrow(expect.objectContaining({ code: 'bad-json' }));
  });

  test.each([
    [{ 'content-type': 'application/json; charset=utf-8' }, true],
    [{ 'content-type': 'application/ld+json' }, true],
    [{ 'content-type': 'text/plain' }, false],
    [{}, false],
    [{ 'content-type': 'application/json', 'content-encoding': 'gzip' }, false],
  ])('announced as %j: %s', (headers, taken) => {
    const check = () => requireJson(new Headers(headers as Record<string, string>));
    if (taken) expect(check).not.toThrow();
    else expect(check).toThrow(expect.objectContaining({ code: 'unsupported-media-type' }));
  });
});
