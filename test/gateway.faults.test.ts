/** Nodes that fail and requests that are wrong, through the real runtime. */
import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { InferResponse } from '../schema/protocol.ts';
import { type ContractFleet, contractFleet, fleetInput, MAX_BODY_BYTES } from './support/contract-fleet.ts';
import type { ContractNode } from './support/contract-node.ts';
import { send, type TestGateway } from './support/gateway.ts';
import { disposables, problemOf, tinyRequest } from './support/node-client.ts';

const scope = disposables();
let fleet: ContractFleet;
let gateway: TestGateway;
let a: ContractNode;
let b: ContractNode;

beforeAll(async () => {
  fleet = await contractFleet(scope);
  ({ gateway, a, b } = fleet);
});
afterAll(() => scope.dispose());
beforeEach(() => fleet.reset());

const infer: ContractFleet['infer'] = (...args) => fleet.infer(...args);
const levelOf: ContractFleet['levelOf'] = (response) => fleet.levelOf(response);

describe('a node that fails', () => {
  test.each(['drop', 'half-answer', 'decline', 'crash', 'refuse-token'] as const)(
    'by %s is stood in for by the other',
    async (behaviour) => {
      a.behaviour = behaviour;
      a.levelMs = [90, 900, 4500];
      await fleet.usable(['a', 'b']);
      const response = await infer('15s');
      expect(response.status).toBe(200);
      expect((await response.json()) as InferResponse).toMatchObject({ model_version: '2' });
      expect(a.seen).toHaveLength(1);
      expect(b.seen).toHaveLength(1);
    },
  );

  test('and is alone gives 503 with Retry-After, and is used again once it is back', async () => {
    await a.kill();
    await b.kill();
    const response = await infer('15s');
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    const problem = await problemOf(response);
    expect(problem).toMatchObject({ code: 'no-node' });
    expect(JSON.stringify(problem)).not.toContain('127.0.0.1');
    const ready = await send(gateway.url, 'GET', '/v2/health/ready', undefined);
    expect(ready.status).toBe(503);

    await b.restart();
    await vi.waitFor(async () => expect((await infer('15s')).status).toBe(200), {
      timeout: 20_000,
      interval: 50,
    });
    expect((await send(gateway.url, 'GET', '/v2/health/ready', undefined)).status).toBe(200);
  });

  test('by draining gets no new requests', async () => {
    a.state = 'draining';
    a.levelMs = [1, 2, 3];
    await vi.waitFor(
      async () => expect((await fleet.nodes())[0]).toMatchObject({ usable: false, reason: 'is draining' }),
      { timeout: 20_000, interval: 50 },
    );
    expect(await levelOf(infer('15s'))).toBe(2);
    expect(a.seen).toHaveLength(0);
  });

  test('both declining hand their refusal on', async () => {
    for (const node of [a, b]) node.behaviour = 'decline';
    const response = await infer('15s');
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('2');
    expect(a.seen.length + b.seen.length).toBe(2);
  });

  test.each(['crash', 'refuse-token'] as const)(
    'by %s shows the client nothing of its own',
    async (behaviour) => {
      for (const node of [a, b]) node.behaviour = behaviour;
      const response = await infer('15s');
      expect(response.status).toBe(502);
      const problem = await problemOf(response);
      expect(problem).toMatchObject({ code: 'upstream-failed' });
      expect(JSON.stringify(problem)).not.toContain('secret');
      expect(a.seen.length + b.seen.length).toBe(2);
    },
  );

  test.each([
    ['a page of a proxy before it', 200, { 'content-type': 'text/html' }, '<html>welcome</html>'],
    ['a proxy’s refusal', 503, { 'content-type': 'text/html' }, '<html>no upstream</html>'],
    ['a proxy’s lower limit', 413, { 'content-type': 'text/plain; charset=utf-8' }, 'too large'],
    [
      'a model that it does not know',
      404,
      { 'content-type': 'application/json' },
      '{"error":"nothing here"}',
    ],
    ['a denser level than was asked for', 200, { 'x-path-level': '3' }, '{}'],
    ['no level', 200, { 'x-path-level': 'all' }, '{}'],
    ['a sparser level than it may', 200, { 'x-path-level': '0' }, '{}'],
    ['a level of another version', 200, { 'x-artifact-version': 'v2' }, '{}'],
    ['a level of a version that nobody knows', 200, { 'x-artifact-version': 'v7' }, '{}'],
  ])('by %s is stood in for by the other', async (_, status, headers, body) => {
    a.levelMs = [90, 900, 4500];
    await fleet.usable(['a', 'b']);
    let asked = 0;
    const foreign: ContractNode['takeOver'] = (request, response) => {
      asked++;
      request.resume();
      response.writeHead(status, { 'content-length': String(body.length), ...headers }).end(body);
    };
    a.takeOver = foreign;
    const good = { headers: { 'x-min-quality': '0.85' } };
    const response = await infer('15s', good);
    expect(await response.json()).toMatchObject({ model_version: '2' });
    expect([response.status, asked, b.seen.length]).toEqual([200, 1, 1]);

    b.takeOver = foreign;
    const neither = await infer('15s', good);
    expect([neither.status, neither.headers.get('x-cost')]).toEqual([502, null]);
    const problem = await problemOf(neither);
    expect(problem).toMatchObject({ code: 'upstream-failed' });
    expect(JSON.stringify(problem)).not.toContain(body);
  });

  test('by freezing is stood in for by the other long before a generous budget is over', async () => {
    a.levelMs = [90, 900, 4500];
    await fleet.usable(['a', 'b']);
    a.behaviour = 'hang';
    const response = await infer('60s', {}, '/v2/models/tiny/versions/0/infer');
    expect([response.status, b.seen.length]).toEqual([200, 1]);
    await vi.waitFor(() => expect(a.aborted).toBe(1), { timeout: 15_000 });
  });

  test('is told which artifact its level is one of', async () => {
    expect((await infer('15s')).status).toBe(200);
    const [seen] = [...a.seen, ...b.seen];
    expect(seen?.headers['x-artifact-version']).toBe('v1');
  });

  test('when it is asked beside a slow one does not spoil the slow one’s answer', async () => {
    await fleet.policy({ hedgeShare: 1 });
    a.levelMs = [90, 900, 4500];
    b.behaviour = 'refuse-token';
    await fleet.usable(['a', 'b']);
    a.takeOver = (request, response) => {
      request.resume();
      setTimeout(() => response.end('{"model_name":"tiny","outputs":[]}'), 500);
    };
    const response = await infer('15s', {}, '/v2/models/tiny/versions/0/infer');
    a.takeOver = undefined;
    expect([b.seen.length, response.status]).toEqual([1, 200]);
  });
});

describe('what is refused', () => {
  test.each([
    ['x-latency-budget', 'soon'],
    ['x-latency-budget', '0'],
    ['x-latency-budget', '-5ms'],
    ['x-min-quality', '97%'],
    ['x-cost-budget', 'free'],
  ])('the header %s: %s', async (name, value) => {
    const response = await infer(undefined, { headers: { [name]: value } });
    expect(response.status).toBe(400);
    expect(await problemOf(response)).toMatchObject({ code: 'bad-header' });
  });

  test.each([
    ['{"inputs":', 'bad-json'],
    ['', 'bad-json'],
    [{}, 'bad-request'],
    [{ inputs: [] }, 'bad-request'],
    [{ inputs: [{ name: 'x', shape: [1.5], datatype: 'FP32', data: [] }] }, 'bad-request'],
    [{ inputs: [{ name: 'x', shape: [1], datatype: 'COMPLEX', data: [] }] }, 'bad-request'],
  ])('the body %j, before any node sees it', async (body, code) => {
    const response = await infer('15s', { body });
    expect(response.status).toBe(400);
    expect(await problemOf(response)).toMatchObject({ code });
    expect([...a.seen, ...b.seen]).toEqual([]);
  });

  test('tensors of a wrong shape, with the node’s own words', async () => {
    const body = tinyRequest([[1, 2, 3]], [2]);
    const response = await infer('15s', { body });
    expect(response.status).toBe(400);
    expect(await problemOf(response)).toMatchObject({ code: 'bad-shape', error: 'x has 3 elements' });
  });

  test('other content than JSON', async () => {
    const response = await infer('15s', { headers: { 'content-type': 'text/plain' } });
    expect(response.status).toBe(415);
    expect(await problemOf(response)).toMatchObject({ code: 'unsupported-media-type' });
  });

  test('unknown models and levels', async () => {
    const model = await infer('15s', {}, '/v2/models/none/infer');
    expect(model.status).toBe(404);
    expect(await problemOf(model)).toMatchObject({ code: 'unknown-model' });
    for (const level of ['3', '-1', '01', 'x', '1e0']) {
      const response = await infer('15s', {}, `/v2/models/tiny/versions/${level}/infer`);
      expect(response.status).toBe(404);
      expect(await problemOf(response)).toMatchObject({ code: 'unknown-level' });
      expect((await gateway.client('GET', `/v2/models/tiny/versions/${level}`)).status).toBe(404);
    }
  });

  test('bodies over the limit, announced or not', async () => {
    const large = JSON.stringify(tinyRequest([fleetInput.flat()], [2], { pad: 'x'.repeat(30_000) }));
    const announced = await infer('15s', { body: large });
    expect(announced.status).toBe(413);
    expect(await problemOf(announced)).toMatchObject({
      code: 'body-too-large',
      maxBodyBytes: MAX_BODY_BYTES,
    });
    const stream = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 30; i++) controller.enqueue(new TextEncoder().encode('x'.repeat(1000)));
        controller.close();
      },
    });
    const chunked = await fetch(`${gateway.url}/v2/models/tiny/infer`, {
      method: 'POST',
      headers: { authorization: `Bearer ${gateway.clientKey}`, 'content-type': 'application/json' },
      body: stream,
      duplex: 'half',
    } as RequestInit);
    expect(chunked.status).toBe(413);
    expect([...a.seen, ...b.seen]).toEqual([]);
  });

  test('reaches a client that is still sending', async () => {
    const authorizations = [`Bearer ${gateway.clientKey}`, 'Bearer wrong'];
    for (let i = 0; i < 20; i++) {
      const parts = Array.from({ length: 300 }, () => new TextEncoder().encode('x'.repeat(1000)));
      const response = await fetch(`${gateway.url}/v2/models/none/infer`, {
        method: 'POST',
        headers: { authorization: authorizations[i % 2] ?? '', 'content-type': 'application/json' },
        body: ReadableStream.from(parts),
        duplex: 'half',
      } as RequestInit);
      expect(response.status).toBe([404, 401][i % 2]);
      await response.body?.cancel();
    }
  });

  test('reaches a client that takes its time to send, and leaves it its connection', async () => {
    const { hostname, port } = new URL(gateway.url);
    const socket = connect(Number(port), hostname);
    let heard = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      heard += text;
    });
    const answered = (text: string) => expect.poll(() => heard, { timeout: 15_000 }).toContain(text);
    try {
      const length = 100_000;
      socket.write(
        `POST /v2/models/tiny/infer HTTP/1.1\r\nHost: ${hostname}\r\nContent-Length: ${length}\r\n\r\n`,
      );
      // It sends nothing more before it has been told.
      await answered('"code":"unauthorized"');
      socket.write(`${'x'.repeat(length)}GET /v2/health/live HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
      await answered('"live":true');
    } finally {
      socket.destroy();
    }
  });

  test('a body that ends before its announced length does no harm', async () => {
    const { hostname, port } = new URL(gateway.url);
    await new Promise<void>((resolve, reject) => {
      const socket = connect(Number(port), hostname, () => {
        socket.write(
          `POST /v2/models/tiny/infer HTTP/1.1\r\nHost: ${hostname}\r\nAuthorization: Bearer ${gateway.clientKey}\r\n` +
            'Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"inputs":',
          () => socket.destroy(),
        );
      });
      socket.on('close', () => resolve());
      socket.on('error', reject);
    });
    expect(await levelOf(infer('15s'))).toBe(2);
    expect(a.seen.length + b.seen.length).toBe(1);
  });
});
