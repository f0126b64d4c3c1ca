/** Inference through the real runtime, on nodes whose times and faults the test sets. */
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { defaultPolicy, type Policy } from '../schema/policy.ts';
import type { InferResponse } from '../schema/protocol.ts';
import { uploadArtifact } from '../trainer/upload/upload-artifact.ts';
import { type ContractNode, contractNode } from './support/contract-node.ts';
import { type RequestOptions, secrets, send, type TestGateway, testGateway } from './support/gateway.ts';
import { gradedQuality, writeGradedArtifact } from './support/graded-artifact.ts';
import { disposables, problemOf, temporaryDirectory, tinyRequest } from './support/node-client.ts';
import { tinyReference } from './support/tiny-model.ts';

const scope = disposables();
let gateway: TestGateway;
let a: ContractNode;
let b: ContractNode;

/** Levels 0 to 2 take 0.1, 1 and 5 s by what the nodes claim, so that no noise of this machine decides. */
const open: Policy = {
  ...defaultPolicy,
  reserveMs: 0,
  tiers: [],
  defaultLatencyBudgetMs: 20_000,
  infeasible: 'refuse',
};

const x = [[0.1, -0.2, 0.3, 0.4]];
const request = tinyRequest(x, [2]);

beforeAll(async () => {
  a = await contractNode(scope, 'a');
  b = await contractNode(scope, 'b');
  gateway = await testGateway(scope, {
    nodes: [a, b].map(({ name, url }) => ({ name, url })),
    vars: { MAX_BODY_BYTES: '20000' },
  });
  for (const version of ['v1', 'v2']) {
    const dir = await temporaryDirectory(scope);
    await writeGradedArtifact(dir, version);
    await uploadArtifact({ dir, url: gateway.url, token: secrets.operatorToken });
  }
});
afterAll(() => scope.dispose());

beforeEach(async () => {
  await policy({});
  await usable(['a', 'b']);
});
afterEach(async () => {
  for (const node of [a, b]) {
    Object.assign(node, {
      levelMs: [100, 1000, 5000],
      version: 'v1',
      state: 'ready',
      load: 0,
      behaviour: 'answer',
    });
    node.seen.length = 0;
    await node.kill();
    await node.restart();
  }
});

async function policy(over: Partial<Policy>): Promise<string> {
  const current = await gateway.operator('GET', '/v1/policy');
  const headers = { 'if-match': current.headers.get('etag') as string };
  const put = await gateway.operator('PUT', '/v1/policy', { body: { ...open, ...over }, headers });
  expect(put.status).toBe(200);
  return put.headers.get('x-policy-version') as string;
}

interface NodeView {
  name: string;
  usable: boolean;
  reason: string | null;
  report: { models: unknown; state: string; queueLength: number } | null;
}

async function nodes(): Promise<NodeView[]> {
  return ((await (await gateway.operator('GET', '/v1/nodes')).json()) as { nodes: NodeView[] }).nodes;
}

/** Waits until the gateway sees exactly these nodes as usable, and sees each as it is now. */
async function usable(names: readonly string[]): Promise<void> {
  await vi.waitFor(
    async () => {
      const views = await nodes();
      expect(views.filter((view) => view.usable).map(({ name }) => name)).toEqual(names);
      for (const node of [a, b].filter(({ name }) => names.includes(name))) {
        const { report } = views.find(({ name }) => name === node.name) as NodeView;
        expect(report).toMatchObject({ state: node.state, queueLength: node.load });
        expect(report?.models).toMatchObject([
          {
            artifactVersion: node.version,
            levels: node.levelMs.map((p50Ms) => ({ profiles: [{ p50Ms }, { p50Ms }] })),
          },
        ]);
      }
    },
    { timeout: 20_000, interval: 50 },
  );
}

const infer = (budget?: string, init: RequestOptions = {}, path = '/v2/models/tiny/infer') =>
  gateway.client('POST', path, {
    body: request,
    ...init,
    headers: { ...(budget === undefined ? {} : { 'x-latency-budget': budget }), ...init.headers },
  });

const levelOf = async (response: Promise<Response>) => {
  const answer = await response;
  if (answer.status !== 200) throw new Error(`answered ${answer.status}: ${await answer.text()}`);
  return Number(answer.headers.get('x-path-level'));
};

describe('the level', () => {
  test('is the best that fits the budget, and the response says so', async () => {
    const response = await infer('3s');
    expect(response.status).toBe(200);
    const body = (await response.json()) as InferResponse;
    expect(body.model_version).toBe('1');
    expect(body.outputs[0]?.data).toEqual(tinyReference(1, x, [2]).logits[0]);
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
    await policy({ infeasible: 'serve-sparsest' });
    const served = await infer('3s', {}, pinned(2));
    expect(served.headers.get('x-path-decision')).toBe('infeasible-served-pinned');
    expect(served.headers.get('x-path-level')).toBe('2');
  });

  test('follows a changed policy with the very next request', async () => {
    expect(await levelOf(infer('15s'))).toBe(2);
    const version = await policy({
      tiers: [{ name: 'cheap', upToMs: 60_000, minSparsity: 0.5, maxSparsity: 1 }],
    });
    const response = await infer('15s');
    expect(response.headers.get('x-path-level')).toBe('0');
    expect(response.headers.get('x-policy-version')).toBe(version);
    await policy({});
    expect(await levelOf(infer('15s'))).toBe(2);
  });

  test('counts the work that waits at a node', async () => {
    for (const node of [a, b]) node.load = 4;
    await usable(['a', 'b']);
    // Four requests of about 2 s each (the mean of the levels) stand before this one.
    expect(await levelOf(infer('12s'))).toBe(1);
    expect(await levelOf(infer('9s'))).toBe(0);
    expect((await infer('8s')).status).toBe(422);
  });

  test('goes to the node that is quicker', async () => {
    b.levelMs = [50, 500, 2500];
    await usable(['a', 'b']);
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
    await policy({ infeasible: 'serve-sparsest' });
    const response = await infer('20ms');
    expect(response.status).toBe(200);
    expect(response.headers.get('x-path-decision')).toBe('infeasible-served-sparsest');
    expect(response.headers.get('x-path-level')).toBe('0');
  });

  test('by the bounds alone is refused under either policy', async () => {
    const tiers = [{ name: 'none', upToMs: 60_000, minSparsity: 0.9, maxSparsity: 1 }];
    await policy({ infeasible: 'serve-sparsest', tiers });
    const response = await infer('15s');
    expect(response.status).toBe(422);
    expect(await problemOf(response)).toMatchObject({ predictedMs: null, bounds: { tier: 'none' } });
  });
});

describe('the deadline', () => {
  test('cuts a node off that is too slow, and says that it ran out', async () => {
    for (const node of [a, b]) Object.assign(node, { behaviour: 'hang', aborted: 0 });
    const response = await infer('600ms');
    expect(response.status).toBe(504);
    expect(await problemOf(response)).toMatchObject({ code: 'budget-overrun' });
    await vi.waitFor(() => expect(a.aborted + b.aborted).toBe(1), { timeout: 10_000 });
  });

  test('travels to the node, with the trace', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await infer('3s', { headers: { traceparent, 'x-request-id': 'r-1' } });
    const [seen] = [...a.seen, ...b.seen];
    expect(seen?.headers).toMatchObject({ traceparent, 'x-request-id': 'r-1' });
    const left = Number(seen?.headers['x-latency-budget-remaining']);
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(3000);
    expect(seen?.headers.authorization).toBe(`Bearer ${secrets.nodeToken}`);
  });
});

describe('a node that fails', () => {
  test.each(['drop', 'half-answer', 'decline'] as const)(
    'by %s is stood in for by the other',
    async (behaviour) => {
      a.behaviour = behaviour;
      a.levelMs = [90, 900, 4500];
      await usable(['a', 'b']);
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
      async () => expect((await nodes())[0]).toMatchObject({ usable: false, reason: 'is draining' }),
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
    },
  );
});

describe('artifact versions', () => {
  test('requests go to the newest version that a node serves', async () => {
    expect((await infer('15s')).headers.get('x-artifact-version')).toBe('v1');
    b.version = 'v2';
    await usable(['a', 'b']);
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

  test('says what the server is', async () => {
    expect(await (await gateway.client('GET', '/v2')).json()).toMatchObject({ extensions: ['path_levels'] });
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
    const large = JSON.stringify(tinyRequest([x.flat()], [2], { pad: 'x'.repeat(30_000) }));
    const announced = await infer('15s', { body: large });
    expect(announced.status).toBe(413);
    expect(await problemOf(announced)).toMatchObject({ code: 'body-too-large', maxBodyBytes: 20_000 });
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
