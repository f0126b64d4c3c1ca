/** Nodes that register themselves: the gateway in workerd, the real node as a process, real sockets between them. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { report as reportOf } from '../gateway/nodes/fleet.fixture.ts';
import type { NodeReport } from '../schema/node-report.ts';
import { lastingPort } from '../scripts/local/ports.ts';
import { uploadArtifact } from '../trainer/upload/upload-artifact.ts';
import { contractFleet } from './support/contract-fleet.ts';
import { secrets, send, type TestGateway, testGateway } from './support/gateway.ts';
import { writeGradedArtifact } from './support/graded-artifact.ts';
import { disposables, problemOf, temporaryDirectory, tinyRequest } from './support/node-client.ts';
import { nodeProcess } from './support/node-process.ts';

const scope = disposables();
let gateway: TestGateway;
let directory: string;

beforeAll(async () => {
  directory = await temporaryDirectory(scope);
  gateway = await testGateway(scope, { vars: { PRIVATE_NODES: 'on' } });
  await writeGradedArtifact(join(directory, 'tiny'));
  await uploadArtifact({ dir: join(directory, 'tiny'), url: gateway.url, token: secrets.operatorToken });
});
afterAll(() => scope.dispose());

interface Fleet {
  nodes: { name: string; usable: boolean; reason: string | null; report: { startedAtMs: number } | null }[];
  registered: { name: string; heardAtMs: number | null; draining: boolean }[];
}

const fleet = async () => (await (await gateway.operator('GET', '/v1/nodes')).json()) as Fleet;
const seen = async (name: string) => (await fleet()).nodes.find((node) => node.name === name);
const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 30_000, interval: 50 });
const infer = () =>
  gateway.client('POST', '/v2/models/tiny/infer', {
    body: tinyRequest([[0.1, -0.2, 0.3, 0.4]], [2]),
    headers: { 'x-latency-budget': '20s' },
  });

async function register(name: string, port: number) {
  const response = await gateway.operator('POST', '/v1/nodes', {
    body: { name, url: `http://127.0.0.1:${port}` },
  });
  expect(response.status).toBe(201);
  expect(response.headers.get('cache-control')).toBe('no-store');
  return ((await response.json()) as { token: string }).token;
}

function start(name: string, port: number, token: string) {
  const flags = {
    artifact: `${gateway.url}/v1/artifacts/tiny`,
    port: String(port),
    name,
    gateway: gateway.url,
    'heartbeat-ms': '100',
    workers: '1',
    'cache-dir': join(directory, name),
  };
  return nodeProcess(
    scope,
    Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]),
    secrets.nodeToken,
    { REGISTRATION_TOKEN: token },
  );
}

describe('a registered node', () => {
  test('joins with its first heartbeat, serves, is drained, restarts, says goodbye and is removed', async () => {
    const port = await lastingPort();
    const token = await register('one', port);
    expect((await fleet()).nodes).toEqual([]);
    const listed = await (await gateway.operator('GET', '/v1/nodes')).text();
    expect(listed).not.toContain(token);
    expect(listed).not.toMatch(/hash|salt/);

    const first = start('one', port, token);
    await first.ready;
    await eventually(async () => expect((await infer()).status).toBe(200));
    const before = (await seen('one'))?.report?.startedAtMs as number;
    expect(before).toBeGreaterThan(0);

    await gateway.operator('PATCH', '/v1/nodes/one', { body: { draining: true } });
    expect(await seen('one')).toMatchObject({ usable: false, reason: 'is taken out of service' });
    expect(await problemOf(await infer())).toMatchObject({ code: 'no-node' });
    await gateway.operator('PATCH', '/v1/nodes/one', { body: { draining: false } });
    expect((await infer()).status).toBe(200);

    await first.kill();
    expect((await infer()).status).toBe(503);
    const second = start('one', port, token);
    await second.ready;
    await eventually(async () => expect((await infer()).status).toBe(200));
    expect((await seen('one'))?.report?.startedAtMs).toBeGreaterThan(before);

    await second.stop();
    // What was told last is kept, for isolates that have never asked this node.
    expect(await seen('one')).toMatchObject({ usable: false, report: { state: 'draining' } });

    expect((await gateway.operator('DELETE', '/v1/nodes/one')).status).toBe(204);
    expect(await fleet()).toEqual({ nodes: [], registered: [], next: null });
    expect((await gateway.operator('DELETE', '/v1/nodes/one')).status).toBe(404);
    const audit = await (await gateway.operator('GET', '/v1/audit')).text();
    for (const action of ['register', 'change', 'remove']) expect(audit).toContain(`node.${action}`);
    expect(audit).not.toContain(token);
  });
});

const report = reportOf('x', { startedAtMs: 1, models: [] });

describe('what is refused', () => {
  test('heartbeats without a registered node’s own token, or of what is no report', async () => {
    const token = await register('two', 9);
    const beat = (as: string | undefined, body: object) =>
      send(gateway.url, 'POST', '/v1/heartbeats', as, { body });
    for (const other of [
      undefined,
      secrets.nodeToken,
      secrets.operatorToken,
      gateway.clientKey,
      `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`,
    ])
      expect((await beat(other, report)).status).toBe(401);
    expect((await beat(token, { ...report, url: 'http://elsewhere' })).status).toBe(400);
    const heard = await beat(token, report);
    expect(await heard.json()).toEqual({ node: 'two', draining: false });
    // A node's token opens nothing else but artifacts.
    expect((await send(gateway.url, 'GET', '/v1/artifacts/tiny', token)).status).toBe(200);
    for (const path of ['/v1/nodes', '/v1/policy', '/v2'])
      expect((await send(gateway.url, 'GET', path, token)).status).toBe(401);
    const rotate = async (overlapS: number) => {
      const rotated = await gateway.operator('POST', '/v1/nodes/two/rotate', { body: { overlapS } });
      return ((await rotated.json()) as { token: string }).token;
    };
    const next = await rotate(3600);
    expect([(await beat(token, report)).status, (await beat(next, report)).status]).toEqual([200, 200]);
    const last = await rotate(0);
    expect([(await beat(next, report)).status, (await beat(last, report)).status]).toEqual([401, 200]);
    await gateway.operator('DELETE', '/v1/nodes/two');
    expect((await beat(last, report)).status).toBe(401);
  });

  test('an address or a name twice, and addresses that are none for nodes', async () => {
    await register('three', 10);
    const refused = async (body: object) =>
      (await problemOf(await gateway.operator('POST', '/v1/nodes', { body }))).code;
    expect(await refused({ name: 'three', url: 'https://node.example.org' })).toBe('conflict');
    expect(await refused({ name: 'four', url: 'http://127.0.0.1:10' })).toBe('conflict');
    expect(await refused({ name: 'four', url: 'http://169.254.169.254' })).toBe('bad-request');
    expect(await refused({ name: 'Four', url: 'https://node.example.org' })).toBe('bad-request');
  });
});

describe('the list of nodes', () => {
  test('comes as a whole, or a page of names at a time, with or without what nodes have measured', async () => {
    const { gateway, usable } = await contractFleet(scope, { PRIVATE_NODES: 'on' });
    await usable(['a', 'b']);
    for (const name of ['d', 'c'])
      await gateway.operator('POST', '/v1/nodes', {
        body: { name, url: `http://127.0.0.1:${name === 'c' ? 1 : 2}` },
      });
    const list = async (query: string) => {
      const { nodes, registered, next } = (await (
        await gateway.operator('GET', `/v1/nodes${query}`)
      ).json()) as {
        nodes: { name: string; report: NodeReport }[];
        registered: { name: string }[];
        next: string | null;
      };
      return { nodes, names: [...nodes, ...registered].map(({ name }) => name), next };
    };
    const whole = await list('');
    expect(whole).toMatchObject({ names: ['a', 'b', 'c', 'd'], next: null });
    expect(await list('?limit=3')).toMatchObject({ names: ['a', 'b', 'c'], next: 'c' });
    expect(await list('?limit=3&before=c')).toMatchObject({ names: ['d'], next: null });
    expect(await list('?before=a')).toMatchObject({ names: ['b', 'c', 'd'], next: null });

    const [model] = whole.nodes[0]?.report.models ?? [];
    expect(model?.levels[0]?.profiles).not.toEqual([]);
    const levels = model?.levels.map(({ level, resident }) => ({ level, resident }));
    const bare = await list('?profiles=none');
    expect(bare.nodes[0]?.report.models).toEqual([{ ...model, levels }]);
    expect(bare.names).toEqual(whole.names);
    for (const query of ['?limit=0', '?profiles=some', '?of=all'])
      expect((await gateway.operator('GET', `/v1/nodes${query}`)).status).toBe(400);
  });
});
