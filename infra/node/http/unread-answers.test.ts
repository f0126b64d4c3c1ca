import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { connect } from '../../../scripts/bench-node/http-exchange.ts';
import { disposables } from '../../../test/support/node-client.ts';
import { giveUpUnread } from './unread-answers.ts';

const scope = disposables();
afterEach(() => scope.dispose());

const LIMIT_MS = 500;
/** More than the system takes of a client that reads nothing. */
const LARGE = Buffer.alloc(16 * 2 ** 20);

/** Answers `/large` with much, all else with little after three times the limit. */
async function server() {
  const [given, whole] = [[] as string[], [] as string[]];
  const server = createServer(async ({ url = '' }, response) => {
    response.once('finish', () => whole.push(url));
    if (url !== '/large') await sleep(3 * LIMIT_MS);
    response.end(url === '/large' ? LARGE : 'little');
    giveUpUnread(response, LIMIT_MS, () => given.push(url));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.onDispose(async () => {
    server.closeAllConnections();
    server.close();
  });
  return { given, whole, port: (server.address() as AddressInfo).port };
}

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;

test('an answer of which nothing is taken is given up with its connection', async () => {
  const { given, port } = await server();
  const socket = await connect(port);
  socket.pause();
  socket.write(get('/large'));
  await expect.poll(() => given).toEqual(['/large']);
  socket.resume();
  await once(socket, 'close');
  expect(socket.bytesRead).toBeLessThan(LARGE.length);
});

test('one that is taken in pieces is not, and what is asked for behind it has its time', async () => {
  const { given, whole, port } = await server();
  const socket = await connect(port);
  socket.write(get('/large') + get('/small') + get('/large'));
  socket.on('data', () => {
    socket.pause();
    setTimeout(() => socket.resume(), 1);
  });
  await expect.poll(() => whole, { timeout: 20_000 }).toEqual(['/large', '/small', '/large']);
  expect(given).toEqual([]);
  socket.destroy();
});
