import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { Gunzip } from 'fflate';
import { describe, expect, test, vi } from 'vitest';
import { headerLengthName } from '../../schema/binary-tensors.ts';
import type { Coding } from '../../schema/content-coding.ts';
import { decoded } from '../http/content-coding.ts';
import { readUpload } from './upload.ts';

test('one image of 224 x 224 in FP32 can be sent again, to another node', async () => {
  const shape = [1, 3, 224, 224];
  const size = 4 * shape.reduce((a, b) => a * b);
  const inputs = [{ name: 'pixels', shape, datatype: 'FP32', parameters: { binary_data_size: size } }];
  const json = new TextEncoder().encode(JSON.stringify({ inputs }));
  const body = new Uint8Array(json.length + size);
  body.set(json);
  const headers = { [headerLengthName]: String(json.length), 'content-length': String(body.length) };
  const request = new Request('http://gateway/', { method: 'POST', headers, body });
  const upload = await readUpload(request, request.headers, 1e8);
  expect(upload).toMatchObject({ repeatable: true, batch: 1, bytes: body.length });
});

test('JSON alone may come as bytes, as clients in Python send it, and goes on as JSON', async () => {
  const body = JSON.stringify({ inputs: [{ name: 'x', shape: [1], datatype: 'FP32', data: [1] }] });
  const headers = new Headers({ 'content-type': 'application/octet-stream' });
  const upload = await readUpload(new Request('http://gateway/', { method: 'POST', body }), headers, 1e8);
  expect(upload).toMatchObject({ contentType: 'application/json', headerLength: null, batch: 1 });
});

test.each(['-3', 'Infinity', '1e3', '9999999', ''])(
  '%j is no length of the JSON, in one piece or handed on',
  async (length) => {
    const parameters = { binary_data_size: 4 };
    const body = JSON.stringify({ inputs: [{ name: 'x', shape: [1], datatype: 'FP32', parameters }] });
    for (const declared of [body.length, 2 ** 20]) {
      const headers = new Headers({ [headerLengthName]: length, 'content-length': String(declared) });
      const request = new Request('http://gateway/', { method: 'POST', body });
      const sent = Promise.resolve().then(() => readUpload(request, headers, 1e8));
      await expect(sent).rejects.toMatchObject({ code: 'bad-header' });
    }
  },
);

describe('a large body of JSON', () => {
  const sent = (tensor: string, elements = 200_000) => {
    const body = `{"inputs":[{${tensor},"data":[${Array(elements).fill(0.25).join()}]}]}`;
    const headers = new Headers({ 'content-length': String(body.length) });
    return readUpload(new Request('http://gateway/', { method: 'POST', body }), headers, 1e8);
  };

  test('goes on as it comes, however its first tensor is written', async () => {
    const upload = await sent('"n\\u0061me":"\\u00fc","shape":[2e0,1e5],"datatype":"FP32"');
    expect(upload).toMatchObject({ repeatable: false, batch: 2, first: { name: 'ü' } });
  });

  test('is refused, and not parsed, where its first tensor is not understood', async () => {
    const parse = vi.spyOn(JSON, 'parse');
    // What only the runtime has; its length is no matter here.
    const Passing = class extends TransformStream {
      constructor(_bytes: number) {
        super();
      }
    };
    vi.stubGlobal('FixedLengthStream', Passing);
    try {
      for (const tensor of ['"name":"x","shape":[2],"datatype":"FP33"', '"shape":[2],"datatype":"FP32"'])
        for (const elements of [20_000, 200_000])
          await expect(sent(tensor, elements)).rejects.toMatchObject({
            code: 'bad-request',
            hint: expect.anything(),
          });
      expect(parse.mock.calls.filter(([text]) => text.startsWith('{"inputs"'))).toEqual([]);
    } finally {
      parse.mockRestore();
      vi.unstubAllGlobals();
    }
  });
});

describe('a compressed body', () => {
  const plain = JSON.stringify({ inputs: [{ name: 'x', shape: [2, 1], datatype: 'FP32', data: [1, 2] }] });
  const pressed = async (text: string, format: Coding) => {
    const stream = new Blob([text]).stream().pipeThrough(new CompressionStream(format));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
  const sent = async (body: Uint8Array<ArrayBuffer>, coding: string, maxBytes = 1e6) => {
    const headers = new Headers({ 'content-encoding': coding, 'content-length': String(body.length) });
    return readUpload(new Request('http://gateway/', { method: 'POST', body }), headers, maxBytes);
  };

  test.each([
    ['gzip', 'gzip'],
    ['X-Gzip', 'gzip'],
    ['deflate', 'deflate'],
  ] as const)('of coding %s is what it was before', async (coding, format) => {
    const upload = await sent(await pressed(plain, format), coding);
    expect(upload).toMatchObject({ batch: 2, bytes: plain.length, repeatable: true });
    expect(await new Response(upload.body()).text()).toBe(plain);
  });

  test('counts by what comes out: small ones may hide large ones', async () => {
    const bomb = await pressed(' '.repeat(1e6), 'gzip');
    expect(bomb.length).toBeLessThan(2000);
    await expect(sent(bomb, 'gzip', 1e5)).rejects.toMatchObject({ code: 'body-too-large' });
    await expect(sent(await pressed(plain, 'gzip'), 'gzip', 50)).rejects.toMatchObject({
      code: 'body-too-large',
    });
  });

  test('that hides far more than is taken is not decoded to its end', async () => {
    const bomb = await pressed(' '.repeat(1e7), 'gzip');
    const all = vi.fn();
    vi.stubGlobal('DecompressionStream', all);
    try {
      await expect(sent(bomb, 'gzip', 1e5)).rejects.toMatchObject({ code: 'body-too-large' });
      expect(all).not.toHaveBeenCalled();
      // Nothing beyond what was too much is looked at: wrong as it is, it does not show.
      await expect(sent(bomb.fill(0xff, 2000), 'gzip', 1e5)).rejects.toMatchObject({
        code: 'body-too-large',
      });
    } finally {
      vi.unstubAllGlobals();
    }
  });

  test('of which nothing comes out is not looked at to its end', async () => {
    const named = Uint8Array.of(0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0);
    const endless = new Uint8Array(1e6).fill(0x61);
    endless.set(named);
    const push = vi.spyOn(Gunzip.prototype, 'push');
    try {
      await expect(sent(endless, 'gzip', 1e7)).rejects.toMatchObject({ code: 'bad-request' });
      expect(push.mock.calls.length).toBeLessThan(200);
    } finally {
      push.mockRestore();
    }
  });

  test('that was stored as it is, in blocks as large as they may be, is taken', async () => {
    const noise = JSON.stringify({ id: randomBytes(150_000).toString('base64'), ...JSON.parse(plain) });
    const body = Uint8Array.from(gzipSync(noise, { level: 0 }));
    expect(body.length).toBeGreaterThan(noise.length);
    await expect(decoded(body, 'gzip', 1e6)).resolves.toHaveLength(noise.length);
  });

  test('that was compressed part by part is what they are together', async () => {
    const cuts = fc.array(fc.nat(plain.length), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(cuts, async (places) => {
        const ends = [...places.sort((a, b) => a - b), plain.length];
        const parts = ends.map((end, at) => gzipSync(plain.slice(ends[at - 1] ?? 0, end)));
        const upload = await sent(Uint8Array.from(Buffer.concat(parts)), 'gzip');
        expect(await new Response(upload.body()).text()).toBe(plain);
      }),
      { numRuns: 30 },
    );
  });

  test('in more parts than anybody makes is refused before they are decoded', async () => {
    const parts = Array.from({ length: 2000 }, () => gzipSync(' '));
    const streams = vi.fn();
    vi.stubGlobal('DecompressionStream', streams);
    try {
      const body = Uint8Array.from(Buffer.concat([...parts, gzipSync(plain)]));
      await expect(sent(body, 'gzip')).rejects.toMatchObject({ code: 'bad-request' });
      expect(streams).not.toHaveBeenCalled();
    } finally {
      vi.unstubAllGlobals();
    }
  });

  test('that is cut off, damaged or something else is a wrong request', async () => {
    const whole = await pressed(plain, 'gzip');
    const other = whole.map((byte, at) => (at === whole.length - 5 ? byte ^ 1 : byte));
    const text = new TextEncoder().encode(plain);
    const wrong = [[whole.slice(0, -9)], [text], [whole, text], [whole, whole.slice(0, -9)], [whole, other]];
    for (const parts of wrong)
      await expect(sent(Uint8Array.from(Buffer.concat(parts)), 'gzip')).rejects.toMatchObject({
        code: 'bad-request',
      });
  });

  test.each(['br', 'gzip, gzip', 'constructor'])('of coding %s is told what may be sent', async (coding) => {
    await expect(sent(new Uint8Array(3), coding)).rejects.toMatchObject({
      code: 'unsupported-media-type',
      hint: expect.stringContaining('gzip'),
    });
  });
});

describe('how many inputs a request has', () => {
  const sent = (shape: readonly number[], data: readonly number[], length?: number) => {
    const body = JSON.stringify({ inputs: [{ name: 'x', shape, datatype: 'FP32', data }] });
    const headers = length === undefined ? new Headers() : new Headers({ 'content-length': String(length) });
    return readUpload(new Request('http://gateway/', { method: 'POST', body }), headers, 1e8);
  };

  test('is what its first tensor says', async () => {
    const size = fc.integer({ min: 1, max: 30 });
    await fc.assert(
      fc.asyncProperty(size, size, async (batch, width) => {
        expect(await sent([batch, width], Array(batch * width).fill(0))).toMatchObject({ batch });
      }),
    );
  });

  test.each([
    [[999_999_999_999, 1]],
    [[1, 999_999_999_999]],
    [[0, 999_999_999_999]],
    [[999_999_999_999, 0]],
    [[9e14, 9e14, 9e14]],
  ])('is not more than the body can hold, in one piece or handed on: %j', async (shape) => {
    await expect(sent(shape, [1])).rejects.toMatchObject({ code: 'bad-shape' });
    await expect(sent(shape, [1], 2 ** 20)).rejects.toMatchObject({ code: 'bad-shape' });
  });
});
