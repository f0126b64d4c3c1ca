import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { nodeNetwork } from './node-network.ts';
import { nodeSecrets } from './node-secrets.ts';
import { fetchReport } from './report-client.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function node(handle: (url: string, response: ServerResponse) => void) {
  const server = createServer((request, response) => handle(request.url ?? '', response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.push(server);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { name: 'a', url, nodeClass: 'default', draining: false };
}

test('a node that sends the question elsewhere is not followed, and cannot be used', async () => {
  const asked: string[] = [];
  const address = await node((url, response) => {
    asked.push(url);
    response.writeHead(302, { location: '/elsewhere' }).end();
  });
  await expect(
    fetchReport(address, nodeSecrets('secret', undefined), nodeNetwork(undefined)),
  ).rejects.toThrow('answers 302');
  expect(asked).toEqual(['/v2/report']);
});

test.each([
  ['{"node":', 'not understood'],
  ['{"node":"a"}', 'not understood'],
])('the report %s is refused', async (body, reason) => {
  const address = await node((_, response) => void response.end(body));
  await expect(
    fetchReport(address, nodeSecrets('secret', undefined), nodeNetwork(undefined)),
  ).rejects.toThrow(reason);
});

test('a report without an end is refused, and no more of it is taken', async () => {
  const broken = Promise.withResolvers<void>();
  const address = await node((_, response) => {
    const more = () => {
      while (response.write(' '.repeat(2 ** 16)));
    };
    response.on('drain', more).once('close', () => broken.resolve());
    more();
  });
  await expect(
    fetchReport(address, nodeSecrets('secret', undefined), nodeNetwork(undefined)),
  ).rejects.toThrow('not understood');
  await broken.promise;
});

test('a node is asked through the network that the deployment has for it', async () => {
  const asked: string[] = [];
  const network = {
    async fetch(url: string) {
      asked.push(url);
      return new Response(null, { status: 403 });
    },
  };
  const address = { name: 'a', url: 'https://inside.invalid', nodeClass: 'default', draining: false };
  await expect(fetchReport(address, nodeSecrets('secret', undefined), network)).rejects.toThrow(
    'answers 403',
  );
  expect(asked).toEqual(['https://inside.invalid/v2/report']);
});

test('a connection that the node was closing is no verdict on it', async () => {
  let asked = 0;
  const report = {
    node: 'a',
    state: 'ready',
    reportedAtMs: 0,
    workers: 1,
    queueLength: 0,
    inFlight: 0,
    models: [],
  };
  const address = await node((_, response) => {
    if (++asked === 1) response.destroy();
    else response.end(JSON.stringify(report));
  });
  expect(await fetchReport(address, nodeSecrets('secret', undefined), nodeNetwork(undefined))).toEqual(
    report,
  );
});

test('a node that is not there is told from one that is late', async () => {
  const address = { name: 'a', url: 'http://127.0.0.1:9', nodeClass: 'default', draining: false };
  await expect(
    fetchReport(address, nodeSecrets('secret', undefined), nodeNetwork(undefined)),
  ).rejects.toMatchObject({
    code: 'no-node',
  });
});
