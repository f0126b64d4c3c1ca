import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { disposables } from '../../test/support/node-client.ts';
import { gatewayClient } from './gateway-client.ts';
import { uploadArtifact } from './upload-artifact.ts';

const scope = disposables();
afterEach(() => scope.dispose());

/** A client of a gateway that answers as told, and how often it was asked. */
async function client(answer: RequestListener, answerMs: number) {
  let asked = 0;
  const server = createServer((request, response) => {
    asked++;
    answer(request, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.onDispose(async () => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { asked: () => asked, ...gatewayClient({ url, token: 'token', pauseMs: 1, answerMs }) };
}

test('a gateway that takes a file and does not answer is given up, and told as that', async () => {
  const { put, asked } = await client((request) => void request.resume(), 50);
  await expect(put('/v1/artifacts/m/v/f', new Blob(['x']), '0', 'text/plain')).rejects.toMatchObject({
    code: 'not-ready',
    message: expect.stringContaining('does not answer (PUT /v1/artifacts/m/v/f'),
    hint: expect.stringContaining('log of the gateway'),
  });
  expect(asked()).toBe(5);
});

test('a large file has the time that a slow line takes for it', async () => {
  const { put, asked } = await client(async (request, response) => {
    for await (const _ of request);
    await pause(400);
    response.writeHead(201).end();
  }, 50);
  // A second, by the slowest line.
  const file = new Blob([new Uint8Array(50_000)]);
  expect(await put('/v1/artifacts/m/v/f', file, '0', 'application/octet-stream')).toBe(201);
  expect(asked()).toBe(1);
});

test.each([
  'gateway',
  'ftp://127.0.0.1',
  'http://127.0.0.1:8787/v1',
  'http://127.0.0.1/?a',
  'http://me@127.0.0.1',
])('%s is no origin of a gateway, of which a part would be passed over', (url) => {
  expect(() => gatewayClient({ url, token: 'token' })).toThrow(
    expect.objectContaining({ code: 'usage', message: `"${url}" is not the URL of a gateway.` }),
  );
});

test('a URL that is wrong is said before the artifact is read', async () => {
  const upload = uploadArtifact({ dir: 'missing', url: 'gateway', token: 'token' });
  await expect(upload).rejects.toMatchObject({ code: 'usage' });
});
