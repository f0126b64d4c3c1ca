/** Senders that mean no good, or do not know better: slow, overlong, half, or many; each gets a problem or is let go. */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { connect, exchange } from '../../scripts/bench-node/http-exchange.ts';
import { soak } from '../../scripts/soak-node/soak.ts';
import { gatedThreads } from '../../test/support/gated-threads.ts';
import {
  disposables,
  inferOk,
  post,
  postBytes,
  readyNode,
  tinyArtifact,
  tinyBinaryRequest,
  tinyRequest,
} from '../../test/support/node-client.ts';

const scope = disposables();
afterEach(() => scope.dispose());
let artifact: string;
beforeEach(async () => {
  artifact = await tinyArtifact(scope);
});

/** Writes raw bytes and gives back what comes until the server closes the connection. */
async function raw(port: number, text: string): Promise<{ status: number; body: Record<string, unknown> }> {
  const socket = await connect(port);
  let received = '';
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
  });
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(text);
  await closed;
  const [head = '', body = ''] = received.split('\r\n\r\n');
  return { status: Number(head.slice(9, 12)), body: JSON.parse(body) as Record<string, unknown> };
}

describe('connections', () => {
  test('that send a body too slowly are told so and closed', async () => {
    const node = await readyNode(scope, { artifact, requestTimeoutMs: 200 });
    const port = Number(new URL(node.url).port);
    const head = 'POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"inputs"';
    expect(await raw(port, head)).toMatchObject({ status: 408, body: { code: 'request-timeout' } });
    // A machine that stalls for longer than the limit is a slow sender too.
    const request = tinyRequest([[1, 2, 3, 4]], [0]);
    const status = async () => (await post(`${node.url}/v2/models/tiny/infer`, request)).status;
    await expect.poll(status, { timeout: 20_000 }).toBe(200);
  });

  test.each([
    [
      'headers without end',
      `GET /v2 HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(20_000)}\r\n\r\n`,
      431,
      'headers-too-large',
    ],
    [
      'a thousand headers',
      `GET /v2 HTTP/1.1\r\nHost: x\r\n${'X-Some-Name: some value\r\n'.repeat(1000)}\r\n`,
      431,
      'headers-too-large',
    ],
    ['what is no HTTP', '\x16\x03\x01\x02\x00\x01\x00\r\n\r\n', 400, 'bad-request'],
    [
      'two lengths',
      'POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
      400,
      'bad-request',
    ],
    ['two hosts', 'GET /v2 HTTP/1.1\r\nHost: x\r\nhost: y\r\nConnection: close\r\n\r\n', 400, 'bad-header'],
    ['no host', 'GET /v2 HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'bad-header'],
    [
      'an expectation that nobody knows',
      'POST /v2 HTTP/1.1\r\nHost: x\r\nExpect: tea\r\nContent-Length: 2\r\n\r\n{}',
      400,
      'bad-header',
    ],
    ['what is for proxies', 'CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n', 405, 'method-not-allowed'],
    [
      'a transfer coding that nobody undoes',
      'POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
      501,
      'unsupported-transfer-coding',
    ],
  ])('that send %s get a problem', async (_, text, status, code) => {
    const node = await readyNode(scope, { artifact });
    expect(await raw(Number(new URL(node.url).port), text)).toMatchObject({
      status,
      body: { status, code, error: expect.any(String) },
    });
  });
});

test.each([
  ['what is no HTTP', 'rubbish\r\n\r\n', 400],
  ['what is for proxies', 'CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n', 405],
  [
    'a body that is none',
    'POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    400,
  ],
  // Refused without a look at its body, whose answer is then the only one.
  [
    'a body that nobody wants',
    'POST /v2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    405,
  ],
  // Refused for that, and what comes behind a refusal that ends its connection is not answered at all.
  [
    'an expectation that nobody knows',
    'POST /v2 HTTP/1.1\r\nHost: x\r\nExpect: tea\r\nContent-Length: 2\r\n\r\n{}rubbish\r\n\r\n',
    400,
  ],
])('requests before %s are answered first, in their order', async (_, rubbish, status) => {
  const node = await readyNode(scope, { artifact });
  const body = JSON.stringify(tinyRequest([[1, 2, 3, 4]], [0]));
  const infer = `POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const socket = await connect(Number(new URL(node.url).port));
  let received = '';
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
  });
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(`${infer}GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n${infer}${rubbish}`);
  await closed;
  const statuses = received.match(/(?<=HTTP\/1\.1 )\d+/g)?.map(Number);
  expect(statuses).toEqual([200, 200, 200, status]);
});

test.each([
  ['wanted a tunnel', 'CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n'],
  [
    'sent too slowly',
    'POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"inputs"',
  ],
])('a client that %s and keeps its side open does not keep the node from ending', async (_, text) => {
  const node = await readyNode(scope, { artifact, requestTimeoutMs: 200 });
  const port = Number(new URL(node.url).port);
  const socket = createConnection({ port, host: '127.0.0.1', allowHalfOpen: true });
  scope.onDispose(async () => socket.destroy());
  socket.resume().write(text);
  await once(socket, 'end');
  await node.close();
});

test.each([
  ['whose body stays away', 'POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n', 'some'],
  [
    'whose body turns out to be none',
    'POST /v2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n',
    'zz\r\n',
  ],
])('a refused request %s has no second answer', async (_, request, behind) => {
  const node = await readyNode(scope, { artifact, requestTimeoutMs: 200 });
  const socket = await connect(Number(new URL(node.url).port));
  let received = '';
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
  });
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.once('data', () => socket.write(behind));
  socket.write(request);
  await closed;
  expect(received.match(/(?<=HTTP\/1\.1 )\d+/g)?.map(Number)).toEqual([405]);
});

test('a connection on which HTTP/1.0 came in chunks, which it does not know, ends with the answer', async () => {
  const { url } = await readyNode(scope, { artifact });
  const body = JSON.stringify(tinyRequest([[1, 2, 3, 4]], [0]));
  const head = 'HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n';
  const text = `POST /v2/models/tiny/infer ${head}${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  const ended = raw(Number(new URL(url).port), text);
  const late = new Promise((resolve) => setTimeout(resolve, 5000, 'it was kept'));
  expect(await Promise.race([ended, late])).toMatchObject({ status: 200, body: { model_name: 'tiny' } });
});

test('rubbish that goes on and on behind a request leaves nothing more than its beginning did', async () => {
  const warned = vi.spyOn(process, 'emitWarning');
  scope.onDispose(async () => warned.mockRestore());
  const threads = gatedThreads();
  const node = await readyNode(scope, { artifact }, { spawn: threads.spawn });
  const body = JSON.stringify(tinyRequest([[1, 2, 3, 4]], [0]));
  const socket = await connect(Number(new URL(node.url).port));
  const closed = once(socket.resume(), 'close');
  threads.hold();
  socket.write(
    `POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await threads.held(1);
  for (let i = 0; i < 100; i++) {
    socket.write('rubbish\r\n\r\n');
    // Another request's way, so that the server has read it.
    await (await fetch(`${node.url}/v2/health/live`)).arrayBuffer();
  }
  threads.release();
  await closed;
  expect(warned).not.toHaveBeenCalled();
});

test('a client that wanted a tunnel behind a request, and resets its connection, takes nothing else with it', async () => {
  const threads = gatedThreads();
  const node = await readyNode(scope, { artifact }, { spawn: threads.spawn });
  const request = tinyRequest([[1, 2, 3, 4]], [0]);
  const body = JSON.stringify(request);
  const socket = await connect(Number(new URL(node.url).port));
  threads.hold();
  const infer = `POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  socket.write(`${infer}CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n`);
  await threads.held(1);
  socket.resetAndDestroy();
  threads.release();
  // An error that nobody listens to fails the test from outside.
  await inferOk(`${node.url}/v2/models/tiny/infer`, request);
});

test('a connection goes on after a refusal, whatever of the refused body was still to come', async () => {
  const node = await readyNode(scope, { artifact, maxBodyBytes: 50_000 });
  const socket = await connect(Number(new URL(node.url).port));
  const send = async (text: string) => (await exchange(socket, Buffer.from(text))).status;
  const blank = (path: string, length: number) =>
    send(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n${' '.repeat(length)}`);
  expect(await blank('/v2/nothing', 40_000)).toBe(404);
  expect(await blank('/v2/models/tiny/infer', 300_000)).toBe(413);
  const piece = `1000\r\n${' '.repeat(0x1000)}\r\n`;
  const chunked = `Host: x\r\nTransfer-Encoding: chunked\r\n\r\n${piece.repeat(20)}0\r\n\r\n`;
  expect(await send(`POST /v2/models/tiny/infer HTTP/1.1\r\n${chunked}`)).toBe(413);
  expect(await send('GET http://x/v2/models/tiny?a=b HTTP/1.1\r\nHost: x\r\n\r\n')).toBe(200);
  socket.destroy();
});

describe('bodies that together take more than they may', () => {
  /** Begins a body of blanks, and says what was answered, or what is answered once the rest has been sent. */
  const sender = async (port: number, length: number, begun: number) => {
    const socket = await connect(port);
    scope.onDispose(async () => socket.destroy());
    const answered = new Promise<number>((resolve) =>
      socket.once('data', (chunk: Buffer) => resolve(Number(chunk.toString('latin1').split(' ')[1]))),
    );
    socket.write(`POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`);
    socket.write(' '.repeat(begun));
    return { answered, finish: () => socket.write(' '.repeat(length - begun)) };
  };

  test('are refused, all but those that have room, and one alone never', async () => {
    const node = await readyNode(scope, { artifact, maxBodiesMb: 1 });
    const port = Number(new URL(node.url).port);
    const senders = [await sender(port, 800_000, 700_000), await sender(port, 800_000, 700_000)];
    const first = await Promise.race(senders.map(async ({ answered }, i) => ({ status: await answered, i })));
    expect(first.status).toBe(429);
    // It is no JSON, which is known of a body that was read.
    const other = senders[1 - first.i];
    other?.finish();
    expect(await other?.answered).toBe(400);
    await inferOk(`${node.url}/v2/models/tiny/infer`, tinyRequest([[1, 2, 3, 4]], [0]));
    const alone = await sender(port, 2_000_000, 2_000_000);
    expect(await alone.answered).toBe(400);
  });
});

test('a connection that sends far ahead of its answers gets all of them, in their order', async () => {
  const node = await readyNode(scope, { artifact });
  const socket = await connect(Number(new URL(node.url).port));
  let received = '';
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
  });
  const closed = new Promise((resolve) => socket.once('close', resolve));
  const path = '/v2/models/tiny/infer';
  const bodies = Array.from({ length: 500 }, (_, i) =>
    JSON.stringify(tinyRequest([[1, 2, 3, 4]], [0], { id: `r${i}` })),
  );
  for (const [i, body] of bodies.entries())
    socket.write(
      `GET /v2 HTTP/1.1\r\nHost: x\r\n\r\nPOST ${path} HTTP/1.1\r\nHost: x\r\n${
        i === 499 ? 'Connection: close\r\n' : ''
      }Content-Length: ${body.length}\r\n\r\n${body}`,
    );
  await closed;
  expect(received.match(/(?<=HTTP\/1\.1 )\d+/g)?.map(Number)).toEqual(Array(1000).fill(200));
  expect(received.match(/(?<="id":"r)\d+/g)?.map(Number)).toEqual(bodies.map((_, i) => i));
});

test('idle connections are kept longer than those who hold them do, and these are told so', async () => {
  const node = await readyNode(scope, { artifact });
  const [, seconds] =
    /timeout=(\d+)/.exec((await fetch(`${node.url}/v2`)).headers.get('keep-alive') ?? '') ?? [];
  expect(Number(seconds)).toBeGreaterThan(60);
});

test('HEAD is answered as GET is, without a body', async () => {
  const node = await readyNode(scope, { artifact });
  const [head, get] = [await fetch(`${node.url}/v2`, { method: 'HEAD' }), await fetch(`${node.url}/v2`)];
  expect([head.status, head.headers.get('content-length')]).toEqual([200, get.headers.get('content-length')]);
  expect(await head.text()).toBe('');
});

test('a request that comes to be more, or less, than it was read as is refused', async () => {
  const { url } = await readyNode(scope, { artifact });
  const path = `${url}/v2/models/tiny/infer`;
  const rows = (count: number) =>
    tinyRequest(
      Array.from({ length: count }, () => [1, 2, 3, 4]),
      Array.from({ length: count }, () => 0),
    );
  const [one, two] = [JSON.stringify(rows(1)), JSON.stringify(rows(2))];
  const twice = `${one.slice(0, -1)},${two.slice(1)}`;
  const status = async (body: string, work: string) =>
    (await post(path, body, { 'x-path-work': work })).status;
  expect([await status(one, '1'), await status(two, ' 2 '), await status(two, '1')]).toEqual([200, 200, 400]);
  expect([await status(twice, '1'), await status(twice, '2')]).toEqual([400, 200]);
  expect(await status(one, '1;8')).toBe(400);
});

test('inputs that are not finite are computed, and what comes of them is told', async () => {
  const node = await readyNode(scope, { artifact });
  const { body, headerLength } = tinyBinaryRequest([[Number.NaN, Number.POSITIVE_INFINITY, -1, 0]], [0]);
  const response = await postBytes(`${node.url}/v2/models/tiny/infer`, body, String(headerLength));
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ outputs: [{ parameters: { non_finite: 3 } }, {}] });
});

test('a thousand requests of every kind and three hundred idle connections leave the node well', async () => {
  const { answers, idle } = await soak({ artifact, requests: 1000, idleConnections: 300 });
  expect(idle).toEqual({ connections: 300, status: 200 });
  expect(Object.keys(answers).toSorted()).toEqual(
    expect.arrayContaining(['200', '400', '404', '431', 'gone']),
  );
  expect(answers['500'] ?? 0).toBe(0);
  expect(Object.values(answers).reduce((sum, count) => sum + count, 0)).toBe(1000);
});
