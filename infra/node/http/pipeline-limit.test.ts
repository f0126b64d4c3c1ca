import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { connect } from '../../../scripts/bench-node/http-exchange.ts';
import { disposables } from '../../../test/support/node-client.ts';
import { MOST_AT_ONCE, pipelineLimit } from './pipeline-limit.ts';

const scope = disposables();
afterEach(() => scope.dispose());

/** A server that answers a request's path when `finish` is called, the one that began first. */
async function slowServer(mostWaiting: number) {
  const placeOf = pipelineLimit(mostWaiting);
  const begun: { path: string; response: ServerResponse }[] = [];
  let seen = 0;
  const server = createServer((request, response) => {
    seen++;
    const place = placeOf(request, response, () => begun.push({ path: request.url ?? '', response }));
    if (place === 'last') response.writeHead(429, { connection: 'close' }).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.onDispose(async () => {
    server.closeAllConnections();
    server.close();
  });
  const open = async () => {
    const socket = await connect((server.address() as AddressInfo).port);
    scope.onDispose(async () => socket.destroy());
    return socket;
  };
  return {
    open,
    begun,
    get seen() {
      return seen;
    },
    finish() {
      const first = begun.shift();
      first?.response.end(first.path);
    },
  };
}

const ask = (socket: Socket, from: number, count: number) =>
  socket.write(
    Array.from({ length: count }, (_, i) => `GET /${from + i} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''),
  );

test('some begin at once, and one more with each answer, in their order; nothing else is read meanwhile', async () => {
  const server = await slowServer(1000);
  const socket = await server.open();
  ask(socket.resume(), 0, 40);
  await expect.poll(() => server.seen).toBe(40);
  ask(socket, 40, 10);
  const paths = () => server.begun.map(({ path }) => Number(path.slice(1)));
  const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
  for (let done = 0; done < 8; done++) {
    expect(paths()).toEqual(numbers(done, MOST_AT_ONCE + done));
    expect(server.seen).toBe(40);
    server.finish();
    await expect.poll(() => paths().at(-1)).toBe(MOST_AT_ONCE + done);
  }
  await expect.poll(() => server.seen).toBe(50);
  expect(paths()).toEqual(numbers(8, MOST_AT_ONCE + 8));
});

test('where too many wait, of all connections, one is refused behind the answers before it, and ends its connection', async () => {
  const server = await slowServer(3);
  const [one, other] = [await server.open(), await server.open()];
  ask(one.resume(), 0, MOST_AT_ONCE + 2);
  await expect.poll(() => server.seen).toBe(MOST_AT_ONCE + 2);
  let received = '';
  other.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
  });
  const closed = once(other, 'close');
  ask(other, 0, MOST_AT_ONCE + 5);
  await expect.poll(() => server.seen).toBe(2 * MOST_AT_ONCE + 7);
  while (!other.closed) {
    server.finish();
    await new Promise(setImmediate);
  }
  await closed;
  const statuses = received.match(/(?<=HTTP\/1\.1 )\d+/g)?.map(Number);
  expect(statuses).toEqual([...Array(MOST_AT_ONCE + 1).fill(200), 429]);
});

test('those of a client that goes away make room, and never begin', async () => {
  const server = await slowServer(3);
  const gone = await server.open();
  ask(gone.resume(), 0, MOST_AT_ONCE + 3);
  await expect.poll(() => server.seen).toBe(MOST_AT_ONCE + 3);
  gone.resetAndDestroy();
  // Of a line that is not read it is noticed when something is sent.
  while (server.begun.length > 0) {
    server.finish();
    await new Promise(setImmediate);
  }
  const socket = await server.open();
  ask(socket.resume(), 0, MOST_AT_ONCE + 3);
  await expect.poll(() => server.seen).toBe(2 * MOST_AT_ONCE + 6);
  for (let i = 0; i < MOST_AT_ONCE; i++) server.finish();
  // Where the others still counted, these would have been refused.
  await expect.poll(() => server.begun.map(({ path }) => path)).toEqual(['/32', '/33', '/34']);
});
