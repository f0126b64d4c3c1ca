/** Choosing level and node through the real runtime, on nodes whose times the test sets. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { operatorModelsSchema } from '../gateway/openapi/answers.ts';
import { joinBody } from '../schema/binary-tensors.ts';
import { priceSchema } from '../schema/policy.ts';
import type { InferResponse } from '../schema/protocol.ts';
import { type ContractFleet, contractFleet, fleetInput } from './support/contract-fleet.ts';
import type { ContractNode } from './support/contract-node.ts';
import { secrets, type TestGateway } from './support/gateway.ts';
import { gradedQuality } from './support/graded-artifact.ts';
import { disposables, problemOf, tinyRequest } from './support/node-client.ts';
import { tinyReference } from './support/tiny-model.ts';

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

test('what came of each request is counted', async () => {
  const series =
    /^spp_gateway_requests_total\{model="tiny",class="[^"]+",decision="fits",level="1",status="200",.*\} (\d+)$/m;
  const count = async () =>
    Number(series.exec(await (await gateway.operator('GET', '/metrics')).text())?.[1] ?? 0);
  const before = await count();
  expect(await levelOf(infer('3s'))).toBe(1);
  expect(await count()).toBe(before + 1);
});

test('operators see what each level takes and costs at the moment, clients do not', async () => {
  await fleet.policy({ prices: [priceSchema.parse({ fixedNanoUsd: 5, perMsNanoUsd: 1000 })] });
  const seen = async () => {
    const answer = await gateway.operator('GET', '/v1/models');
    const { models } = operatorModelsSchema.parse(await answer.json());
    const [tiny] = models;
    return { name: tiny?.name, levels: tiny?.levels.map(({ costNanoUsd }) => costNanoUsd) };
  };
  expect(await seen()).toEqual({ name: 'tiny', levels: [100_005, 1_000_005, 5_000_005] });
  a.state = 'draining';
  b.state = 'draining';
  await fleet.usable([]);
  expect(await seen()).toEqual({ name: 'tiny', levels: [null, null, null] });
  expect((await gateway.client('GET', '/v1/models')).status).toBe(401);
});

describe('the level', () => {
  test('is the best that fits the budget, and the response says so', async () => {
    const response = await infer('3s');
    expect(response.status).toBe(200);
    const body = (await response.json()) as InferResponse;
    expect(body.model_version).toBe('1');
    expect(body.outputs[0]?.data).toEqual(tinyReference(1, fleetInput, [2]).logits[0]);
    const header = (name: string) => response.headers.get(name) ?? '';
    expect(header('x-path-level')).toBe('1');
    expect(Number(header('x-path-sparsity'))).toBeCloseTo(1 / 3, 5);
    expect(Number(header('x-path-quality'))).toBeCloseTo(gradedQuality(1), 9);
    expect(header('x-path-decision')).toBe('fits');
    expect(header('x-artifact-version')).toBe('v1');
    expect(Number(header('x-policy-version'))).toBeGreaterThan(0);
    const remaining = Number(header('x-latency-budget-remaining'));
    expect(remaining).toBeGreaterThan(0);
    expect(remaining).toBeLessThanOrEqual(3000);
    expect(header('server-timing')).toMatch(/^select;dur=.*, queue;dur=0, execute;dur=1000, network;dur=/);
  });

  test.each([
    ['800ms', 0],
    ['800', 0],
    ['3s', 1],
    ['15s', 2],
    [undefined, 2],
  ])('for a budget of %s is %d', async (budget, level) => {
    expect(await levelOf(infer(budget))).toBe(level);
  });

  test('respects the quality that is asked for', async () => {
    const minQuality = { headers: { 'x-min-quality': '0.84' } };
    expect(await levelOf(infer('3s', minQuality))).toBe(1);
    const response = await infer('800ms', minQuality);
    expect(response.status).toBe(422);
    expect(await problemOf(response)).toMatchObject({ level: 1, bounds: { minQuality: 0.84 } });
  });

  test('may be pinned, and still has to fit', async () => {
    const pinned = (level: number) => `/v2/models/tiny/versions/${level}/infer`;
    expect(await levelOf(infer('15s', {}, pinned(0)))).toBe(0);
    expect(await levelOf(infer('15s', {}, pinned(2)))).toBe(2);
    const response = await infer('3s', {}, pinned(2));
    expect(response.status).toBe(422);
    expect(await problemOf(response)).toMatchObject({ code: 'budget-infeasible', level: 2 });
    await fleet.policy({ infeasible: 'serve-sparsest' });
    const served = await infer('3s', {}, pinned(2));
    expect(served.headers.get('x-path-decision')).toBe('infeasible-served-pinned');
    expect(served.headers.get('x-path-level')).toBe('2');
  });

  test('follows a changed policy with the very next request', async () => {
    expect(await levelOf(infer('15s'))).toBe(2);
    const version = await fleet.policy({
      tiers: [{ name: 'cheap', upToMs: 60_000, minSparsity: 0.5, maxSparsity: 1 }],
    });
    const response = await infer('15s');
    expect(response.headers.get('x-path-level')).toBe('0');
    expect(response.headers.get('x-policy-version')).toBe(version);
    await fleet.policy({});
    expect(await levelOf(infer('15s'))).toBe(2);
  });

  test('counts the work that waits at a node', async () => {
    for (const node of [a, b]) node.load = 4;
    await fleet.usable(['a', 'b']);
    // Four requests of about 2 s each (the mean of the levels) stand before this one.
    expect(await levelOf(infer('18s'))).toBe(1);
    // The level of a second would fit, but leave no room for those who come next.
    expect(await levelOf(infer('12s'))).toBe(0);
    expect(await levelOf(infer('9s'))).toBe(0);
    expect((await infer('8s')).status).toBe(422);
  });

  test('goes to the node that is quicker', async () => {
    b.levelMs = [50, 500, 2500];
    await fleet.usable(['a', 'b']);
    expect(await levelOf(infer('4s'))).toBe(2);
    expect(a.seen).toHaveLength(0);
    expect(b.seen.map(({ level }) => level)).toEqual([2]);
  });
});

describe('a budget that no level fits', () => {
  test('is refused before anything is sent, with what it would take', async () => {
    const response = await infer('20ms');
    expect(response.status).toBe(422);
    const problem = await problemOf(response);
    expect(problem).toMatchObject({
      code: 'budget-infeasible',
      latencyBudgetMs: 20,
      level: 0,
      bounds: { tier: null, minSparsity: 0, maxSparsity: 1, minQuality: null },
    });
    expect(problem.predictedMs).toBeGreaterThanOrEqual(100);
    expect([...a.seen, ...b.seen]).toEqual([]);
  });

  test('is served at the sparsest level where the policy says so, and is told', async () => {
    await fleet.policy({ infeasible: 'serve-sparsest' });
    const response = await infer('20ms');
    expect(response.status).toBe(200);
    expect(response.headers.get('x-path-decision')).toBe('infeasible-served-sparsest');
    expect(response.headers.get('x-path-level')).toBe('0');
  });

  test('by the bounds alone is refused under either policy', async () => {
    const tiers = [{ name: 'none', upToMs: 60_000, minSparsity: 0.9, maxSparsity: 1 }];
    await fleet.policy({ infeasible: 'serve-sparsest', tiers });
    const response = await infer('15s');
    expect(response.status).toBe(422);
    expect(await problemOf(response)).toMatchObject({ predictedMs: null, bounds: { tier: 'none' } });
  });
});

describe('the deadline', () => {
  test.each(['hang', 'stall'] as const)(
    'cuts a node off that is too slow (%s), not before its time, and says that it ran out',
    async (behaviour) => {
      for (const node of [a, b]) Object.assign(node, { behaviour, aborted: 0 });
      const response = await infer('600ms');
      expect(response.status).toBe(504);
      expect(await problemOf(response)).toMatchObject({ code: 'budget-overrun' });
      await vi.waitFor(() => expect(a.aborted + b.aborted).toBe(1), { timeout: 10_000 });
    },
  );

  test('covers a body that comes too slowly', async () => {
    const { hostname, port } = new URL(gateway.url);
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(port), hostname, () =>
        socket.write(
          `POST /v2/models/tiny/infer HTTP/1.1\r\nHost: ${hostname}\r\nAuthorization: Bearer ${gateway.clientKey}\r\n` +
            'X-Latency-Budget: 300ms\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"inputs":',
        ),
      );
      socket.once('data', (data) => {
        socket.destroy();
        resolve(data.toString());
      });
      socket.on('error', reject);
    });
    expect(answer).toMatch(/^HTTP\/1.1 504 /);
    expect([...a.seen, ...b.seen]).toEqual([]);
  });

  test('binary tensors pass as they are', async () => {
    const inputs = [{ name: 'x', shape: [1, 4], datatype: 'FP32', parameters: { binary_data_size: 16 } }];
    const { body, headerLength } = joinBody({ inputs }, [new Uint8Array(16)]);
    const headers = {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': `${headerLength}`,
    };
    a.behaviour = 'decline';
    b.behaviour = 'decline';
    await infer('3s', { body, headers });
    const [seen] = [...a.seen, ...b.seen];
    expect(seen?.headers).toMatchObject(headers);
    expect(seen?.headers['content-length']).toBe(String(body.length));
  });

  test.each([
    ['gzip', 1],
    ['gzip', 40],
    ['deflate', 1],
  ] as const)('that came with %s, in so many parts (%i), goes on as it was before', async (coding, count) => {
    const plain = JSON.stringify(tinyRequest(fleetInput, [2]));
    const size = Math.ceil(plain.length / count);
    const parts = Array.from({ length: count }, (_, at) => plain.slice(at * size, (at + 1) * size));
    const compressed = parts.map((part) => {
      const stream = new Blob([part]).stream().pipeThrough(new CompressionStream(coding));
      return new Response(stream).arrayBuffer();
    });
    const body = new Uint8Array(await new Blob(await Promise.all(compressed)).arrayBuffer());
    const response = await infer('3s', { body, headers: { 'content-encoding': coding } });
    expect(((await response.json()) as InferResponse).outputs[0]?.data).toEqual(
      tinyReference(1, fleetInput, [2]).logits[0],
    );
    const [seen] = [...a.seen, ...b.seen];
    expect(seen?.headers['content-length']).toBe(String(plain.length));
    expect(seen?.headers).not.toHaveProperty('content-encoding');
  });

  test('travels to the node, with the trace', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await infer('3s', { headers: { traceparent, 'x-request-id': 'r-1' } });
    const [seen] = [...a.seen, ...b.seen];
    expect(seen?.headers).toMatchObject({ traceparent, 'x-request-id': 'r-1', 'x-path-work': '1' });
    const left = Number(seen?.headers['x-latency-budget-remaining']);
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(3000);
    expect(seen?.headers.authorization).toBe(`Bearer ${secrets.nodeToken}`);
    // What went through Miniflare's own worker, which takes a third of a request's time, has its mark.
    expect(seen?.headers).not.toHaveProperty('cf-worker');
  });

  const sampled = '0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const long = 'x'.repeat(20_000);
  test.each([
    { traceparent: `00-${sampled}`, tracestate: `a=${long}` },
    { traceparent: `00-${sampled}`, tracestate: 'a=\x01' },
    { traceparent: `01-${sampled}-${long}` },
    { 'content-type': `application/${long}+json` },
    { 'content-type': 'application/\x01+json' },
  ])('travels with nothing of its headers that a node would refuse: case %#', async (headers) => {
    const url = new URL(gateway.url);
    const body = JSON.stringify(tinyRequest(fleetInput, [2]));
    const socket = connect(Number(url.port), url.hostname);
    // What `fetch` would not send.
    const lines = Object.entries({
      'content-type': 'application/json',
      ...headers,
      host: url.host,
      authorization: `Bearer ${gateway.clientKey}`,
      'content-length': body.length,
      connection: 'close',
      'x-latency-budget': '15s',
    }).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`POST /v2/models/tiny/infer HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
    const [heard] = await once(socket, 'data');
    socket.destroy();
    expect(String(heard)).toMatch(/^HTTP\/1.1 200 /);
    expect(a.seen.length + b.seen.length).toBe(1);
  });
});

describe('artifact versions', () => {
  test('requests go to the newest version that a node serves', async () => {
    expect((await infer('15s')).headers.get('x-artifact-version')).toBe('v1');
    b.version = 'v2';
    await fleet.usable(['a', 'b']);
    a.seen.length = 0;
    const response = await infer('15s');
    expect(response.headers.get('x-artifact-version')).toBe('v2');
    expect(a.seen).toHaveLength(0);
    await b.kill();
    expect((await infer('15s')).headers.get('x-artifact-version')).toBe('v1');
  });
});

describe('metadata', () => {
  test('lists the levels with what they are and what they take now', async () => {
    const response = await gateway.client('GET', '/v2/models/tiny');
    const body = (await response.json()) as { levels: { predictedMs: number }[] };
    expect(body).toMatchObject({
      name: 'tiny',
      versions: ['0', '1', '2'],
      platform: 'onnxruntime_onnx',
      inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }, { name: 'token' }],
      outputs: [{ name: 'logits' }, { name: 'label' }],
      artifactVersion: 'v1',
      levels: [0, 1, 2].map((level) => ({
        level,
        relativeFlops: expect.closeTo((level + 1) / 3),
        quality: { metric: 'accuracy', value: gradedQuality(level), low: 0.4, high: 0.6 },
      })),
    });
    expect(body.levels[0]?.predictedMs).toBeGreaterThanOrEqual(100);
    expect(body.levels[2]?.predictedMs).toBeGreaterThanOrEqual(5000);
    const one = await gateway.client('GET', '/v2/models/tiny/versions/1');
    expect(await one.json()).toMatchObject({ versions: ['1'], levels: [{ level: 1 }] });
    for (const path of ['/v2/models/tiny/ready', '/v2/models/tiny/versions/1/ready'])
      expect((await gateway.client('GET', path)).status).toBe(200);
  });

  test('says of a level that no node has that it is not ready', async () => {
    for (const node of [a, b]) node.levelMs = [100, 1000];
    await fleet.usable(['a', 'b']);
    const ready = (path: string) => gateway.client('GET', `/v2/models/tiny${path}/ready`);
    const dense = await ready('/versions/2');
    expect([dense.status, dense.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await problemOf(dense)).toMatchObject({ code: 'level-unavailable' });
    expect([(await ready('/versions/1')).status, (await ready('')).status]).toEqual([200, 200]);
    for (const node of [a, b]) node.levelMs = [];
    await fleet.usable(['a', 'b']);
    expect((await ready('')).status).toBe(503);
  });

  test('says what the server is', async () => {
    expect(await (await gateway.client('GET', '/v2')).json()).toMatchObject({
      extensions: ['path_levels', 'binary_tensor_data'],
    });
  });
});
