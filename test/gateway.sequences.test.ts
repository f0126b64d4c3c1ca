/** Sequences of different lengths through the real runtime, on a node that claims what each length takes. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, expect, test, vi } from 'vitest';
import type { NodeReport } from '../schema/node-report.ts';
import { defaultPolicy } from '../schema/policy.ts';
import { uploadArtifact } from '../trainer/upload/upload-artifact.ts';
import { secrets, testGateway } from './support/gateway.ts';
import { disposables, problemOf, temporaryDirectory } from './support/node-client.ts';
import { writeTinySequence } from './support/tiny-sequence.ts';

const scope = disposables();
afterAll(() => scope.dispose());

/** Level 1 takes 0.1 s for up to 16 tokens and 30 s for 256 by what the node claims, so that no noise of this machine decides. */
const profiles = [
  { length: 16, ms: 100 },
  { length: 256, ms: 30_000 },
].map(({ length, ms }) => {
  const profile = { device: 'cpu', threads: 1, batch: 1, samples: 100, p50Ms: ms, p95Ms: ms, p99Ms: ms };
  return { length, profile };
});
const report: NodeReport = {
  node: 'a',
  state: 'ready',
  reportedAtMs: 0,
  workers: 1,
  queueLength: 0,
  inFlight: 0,
  models: [
    {
      model: 'sequence',
      artifactVersion: 'plain',
      levels: [
        {
          level: 1,
          resident: true,
          profiles: profiles.slice(1).map(({ profile }) => profile),
          lengthProfiles: profiles.map(({ length, profile }) => ({ length, ...profile })),
        },
      ],
    },
  ],
};

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  request.resume();
  await once(request, 'end');
  response.setHeader('content-type', 'application/json');
  response.setHeader('server-timing', 'queue;dur=0, execute;dur=100');
  response.end(JSON.stringify(request.url === '/v2/report' ? report : { outputs: [] }));
}

test('a short one fits where a long one does not', async () => {
  const server = createServer((request, response) => void handle(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.onDispose(async () => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const gateway = await testGateway(scope, { nodes: [{ name: 'a', url }], vars: { PROBE_SHARE: '0' } });
  const dir = await temporaryDirectory(scope);
  await writeTinySequence(dir, false);
  await uploadArtifact({ dir, url: gateway.url, token: secrets.operatorToken });
  const current = await gateway.operator('GET', '/v1/policy');
  const put = await gateway.operator('PUT', '/v1/policy', {
    body: { ...defaultPolicy, tiers: [], infeasible: 'refuse' },
    headers: { 'if-match': current.headers.get('etag') as string },
  });
  expect(put.status).toBe(200);
  const infer = (length: number) => {
    const ids = new Array<number>(length).fill(1);
    const tensor = { shape: [1, length], datatype: 'INT64', data: ids };
    return gateway.client('POST', '/v2/models/sequence/versions/1/infer', {
      body: {
        inputs: [
          { name: 'input_ids', ...tensor },
          { name: 'attention_mask', ...tensor },
        ],
      },
      headers: { 'x-latency-budget': '20s' },
    });
  };
  await vi.waitFor(async () => expect((await infer(9)).status).toBe(200), { timeout: 20_000 });
  expect((await infer(16)).status).toBe(200);
  expect((await problemOf(await infer(200))).code).toBe('budget-infeasible');
});
