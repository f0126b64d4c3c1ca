/** Large bodies through the real runtime: they pass as they come, both ways. Nothing here depends on how long it takes. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { headerLengthName } from '../schema/binary-tensors.ts';
import { headerNames } from '../schema/headers.ts';
import { type ContractFleet, contractFleet, fleetInput } from './support/contract-fleet.ts';
import { disposables, tinyRequest } from './support/node-client.ts';

const scope = disposables();
let fleet: ContractFleet;

beforeAll(async () => {
  fleet = await contractFleet(scope, { MAX_BODY_BYTES: String(4 * 2 ** 20) });
});
afterAll(() => scope.dispose());
beforeEach(() => fleet.reset());

const MiB = 2 ** 20;

test('a large answer reaches the client before the node has sent all of it', async () => {
  const rest = Promise.withResolvers<void>();
  for (const node of [fleet.a, fleet.b])
    node.takeOver = (request, response) => {
      request.resume();
      response.writeHead(200, {
        'content-type': 'application/octet-stream',
        'content-length': String(MiB),
        'server-timing': 'queue;dur=0, execute;dur=1',
      });
      response.write(Buffer.alloc(MiB / 2, 1));
      void rest.promise.then(() => response.end(Buffer.alloc(MiB / 2, 2)));
    };
  const answer = await fleet.infer('15s');
  expect(answer.status).toBe(200);
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
  let sum = 0;
  let bytes = 0;
  const take = async () => {
    const { done, value } = await reader.read();
    for (const byte of value ?? []) sum += byte;
    bytes += value?.length ?? 0;
    return !done;
  };
  // The other half is not there yet, nor will it be until this half has arrived.
  while (bytes < MiB / 2) await take();
  expect(bytes).toBe(MiB / 2);
  rest.resolve();
  while (await take());
  expect([bytes, sum]).toEqual([MiB, MiB / 2 + 2 * (MiB / 2)]);
});

test('a large answer that stops coming is broken off at the end of the budget, at both ends', async () => {
  const closed = Promise.withResolvers<void>();
  for (const node of [fleet.a, fleet.b])
    node.takeOver = (request, response) => {
      request.resume();
      response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': String(MiB) });
      response.write(Buffer.alloc(MiB / 2));
      response.once('close', () => closed.resolve());
    };
  const answer = await fleet.infer('600ms');
  expect(answer.status).toBe(200);
  await expect(answer.arrayBuffer()).rejects.toThrow();
  await closed.promise;
});

describe('a large answer whose length nobody tells', () => {
  const chunked = (all: boolean, times: number) => (request: IncomingMessage, response: ServerResponse) => {
    request.resume();
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    for (let i = 0; i < times; i++) response.write(Buffer.alloc(MiB / 2, 1));
    if (all) response.end();
    else setTimeout(() => response.destroy(), 50);
  };
  const answeredBy = async (takeOver: typeof fleet.a.takeOver) => {
    for (const node of [fleet.a, fleet.b]) node.takeOver = takeOver;
    const response = await fleet.infer('15s');
    return { status: response.status, bytes: (await response.arrayBuffer()).byteLength };
  };

  test('comes whole', async () => {
    expect(await answeredBy(chunked(true, 3))).toEqual({ status: 200, bytes: 1.5 * MiB });
  });

  test('and breaks off is never taken for a whole one', async () => {
    expect((await answeredBy(chunked(false, 3))).status).toBe(503);
  });

  test('and has no end is given up', async () => {
    expect((await answeredBy(chunked(true, 17))).status).toBe(502);
  });
});

test('a large body reaches the node before the client has sent all of it', async () => {
  const reached = Promise.withResolvers<number>();
  for (const node of [fleet.a, fleet.b])
    node.takeOver = (request, response) => {
      let bytes = 0;
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MiB / 4) reached.resolve(bytes);
      });
      request.on('end', () => response.end(JSON.stringify({ bytes })));
    };
  const { sending, answered } = halfSent('15s');
  // The rest is sent only once the node has some of it.
  expect(await reached.promise).toBeLessThanOrEqual(LARGE_JSON.length + MiB / 2);
  sending.end(Buffer.alloc(MiB / 2));
  const answer = await answered;
  let text = '';
  for await (const chunk of answer) text += String(chunk);
  expect(JSON.parse(text)).toEqual({ bytes: LARGE_JSON.length + MiB });
});

describe('clients that take their time to send', () => {
  /** Answers once it has all of a body. */
  const answering = (request: IncomingMessage, response: ServerResponse) => {
    const headers = { 'content-type': 'application/json', 'server-timing': 'queue;dur=0, execute;dur=1' };
    request.resume().once('end', () => response.writeHead(200, headers).end('{}'));
  };

  test('do not make the way to a node look long', async () => {
    for (const node of [fleet.a, fleet.b]) node.takeOver = answering;
    const one = async () => {
      const { sending, answered } = halfSent('15s');
      await pause(2000);
      sending.end(Buffer.alloc(MiB / 2));
      expect((await answered).resume().statusCode).toBe(200);
    };
    await Promise.all(Array.from({ length: 12 }, one));
    for (const { networkMs } of await fleet.nodes()) expect(networkMs?.p50Ms).toBeLessThan(1500);
  });

  test('are no load while they do', async () => {
    let come = 0;
    for (const node of [fleet.a, fleet.b])
      node.takeOver = (request, response) => {
        come++;
        answering(request, response);
      };
    const all = Array.from({ length: 4 }, () => halfSent('15s'));
    await vi.waitFor(() => expect(come).toBe(4), { timeout: 15_000 });
    for (const { inFlightHere } of await fleet.nodes()) expect(inFlightHere).toBe(0);
    for (const { sending } of all) sending.end(Buffer.alloc(MiB / 2));
    for (const { answered } of all) expect((await answered).resume().statusCode).toBe(200);
  });

  test('do not make a node look broken', async () => {
    await fleet.b.kill();
    await fleet.usable(['a']);
    fleet.a.takeOver = answering;
    for (let i = 0; i < 6; i++) {
      const { sending, answered } = halfSent('300ms');
      expect((await answered).statusCode).toBe(504);
      sending.destroy();
    }
    expect((await fleet.nodes())[0]).toMatchObject({ usable: true, breaker: 'closed' });
  });
});

const LARGE_JSON = JSON.stringify({
  inputs: [{ name: 'x', shape: [1, 4], datatype: 'FP32', parameters: { binary_data_size: MiB } }],
});

/** A request with a MiB of binary data, of which half is still to be sent. */
function halfSent(budget: string) {
  const { port } = new URL(fleet.gateway.url);
  const sending = httpRequest({
    host: '127.0.0.1',
    port,
    method: 'POST',
    path: '/v2/models/tiny/infer',
    headers: {
      authorization: `Bearer ${fleet.gateway.clientKey}`,
      'content-type': 'application/octet-stream',
      [headerLengthName]: String(LARGE_JSON.length),
      'content-length': String(LARGE_JSON.length + MiB),
      'x-latency-budget': budget,
    },
  });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    sending.on('response', resolve).on('error', reject);
  });
  sending.write(LARGE_JSON);
  sending.write(Buffer.alloc(MiB / 2));
  return { sending, answered };
}

describe('a client that holds its body back until it is told to go on, which the runtime never says', () => {
  const body = JSON.stringify(tinyRequest(fleetInput, [2]));

  /** @returns all that came until the other end closed, or the answer's last byte */
  async function asked(budget: string, sendsAfterMs: number): Promise<string> {
    const { hostname, port } = new URL(fleet.gateway.url);
    const socket = connect(Number(port), hostname);
    let heard = '';
    const ended = Promise.withResolvers<void>();
    socket.setEncoding('utf8').on('data', (text: string) => {
      heard += text;
      if (heard.endsWith('}')) ended.resolve();
    });
    socket.on('close', () => ended.resolve());
    socket.write(
      `POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${fleet.gateway.clientKey}\r\n` +
        `X-Latency-Budget: ${budget}\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    await Promise.race([pause(sendsAfterMs), ended.promise]);
    if (heard === '') socket.write(body);
    await ended.promise;
    socket.destroy();
    return heard;
  }

  test('is told to send it at once where its budget would run out meanwhile', async () => {
    const heard = await asked('400ms', 30_000);
    expect(heard).toMatch(/^HTTP\/1.1 417 /);
    expect(heard).toContain('"code":"expectation-failed"');
  });

  test('is told so, and not to ask with a larger budget, where it waits to the end of its own', async () => {
    const heard = await asked('1300ms', 30_000);
    expect(heard).toMatch(/^HTTP\/1.1 417 /);
    expect(heard).toContain('without the header Expect');
  });

  test('is waited for where its budget allows that', async () => {
    expect(await asked('15s', 100)).toMatch(/^HTTP\/1.1 200 /);
  });
});

/** What HTTP lets stand in a header: its own words, near misses of them, and any text. */
const names = [
  ...Object.values(headerNames),
  headerLengthName,
  'authorization',
  'content-type',
  'content-encoding',
  'traceparent',
  'tracestate',
  'x-request-id',
  'if-match',
  'range',
  'accept',
  'origin',
];
const value = fc.oneof(
  fc.constantFrom(
    '',
    '0',
    '1',
    '-1',
    '40',
    '40ms',
    '1.5s',
    '1e9',
    'NaN',
    'Infinity',
    '500u',
    '0.5',
    '1,2',
    '"x"',
  ),
  fc.constantFrom(
    'Bearer',
    'Bearer  ',
    'application/json',
    'gzip',
    '*',
    'bytes=0-',
    '9'.repeat(400),
    '0'.repeat(3000),
  ),
  fc.stringMatching(/^[\x20-\x7e]{0,60}$/),
  fc.stringMatching(/^[\x21-\x7e\x80-\xff]{1,40}$/),
);

test('no header makes the gateway fail or hang', async () => {
  const { url, clientKey } = fleet.gateway;
  const body = JSON.stringify(tinyRequest(fleetInput, [2]));
  const paths = fc.constantFrom(
    '/v2/models/tiny/infer',
    '/v2/models/tiny/versions/0/infer',
    '/v2/models/tiny',
  );
  await fc.assert(
    fc.asyncProperty(
      paths,
      fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 4 }),
      async (path, odd) => {
        const post = path.endsWith('infer');
        const response = await fetch(`${url}${path}`, {
          method: post ? 'POST' : 'GET',
          headers: {
            authorization: `Bearer ${clientKey}`,
            ...(post ? { 'content-type': 'application/json' } : {}),
            ...Object.fromEntries(Object.entries(odd).map(([name, text]) => [name, text.trim()])),
          },
          ...(post ? { body } : {}),
        });
        await response.arrayBuffer();
        // A budget may be too small, and then it may run out; nothing else is the server's fault.
        if (response.status >= 500) expect(response.status).toBe(504);
        if (response.status === 504) expect(odd).toHaveProperty('x-latency-budget');
      },
    ),
    { numRuns: 300 },
  );
});
