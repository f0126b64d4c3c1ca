import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { nodeReportSchema } from '../../schema/node-report.ts';
import { inferResponseSchema, modelMetadataSchema, serverMetadataSchema } from '../../schema/protocol.ts';
import { gatedThreads } from '../../test/support/gated-threads.ts';
import {
  disposables,
  inferOk,
  post,
  problemOf,
  readyNode,
  tinyArtifact,
  tinyRequest,
} from '../../test/support/node-client.ts';
import { TINY, tinyReference } from '../../test/support/tiny-model.ts';
import type { RunningNode } from './server.ts';

const scope = disposables();
afterEach(() => scope.dispose());

const X = [
  [0.5, -1, 2, 0.25],
  [-3, 1, 0, 1],
];
const TOKEN = [3, 0];

describe('a node that is ready', () => {
  const shared = disposables();
  let node: RunningNode;
  let model: string;
  beforeAll(async () => {
    const directory = await tinyArtifact(shared);
    node = await readyNode(shared, { artifact: directory, workers: 2, maxBodyBytes: 100_000 });
    model = `${node.url}/v2/models/tiny`;
  });
  afterAll(() => shared.dispose());

  test.each([...TINY.widths.keys()])('answers level %i as the formula does', async (level) => {
    const { response, body } = await inferOk(
      `${model}/versions/${level}/infer`,
      tinyRequest(X, TOKEN, { id: 'q1' }),
    );
    const wanted = tinyReference(level, X, TOKEN);
    expect(inferResponseSchema.parse(body)).toMatchObject({
      model_name: 'tiny',
      model_version: String(level),
      id: 'q1',
      outputs: [
        { name: 'logits', datatype: 'FP32', shape: [2, 3] },
        { name: 'label', datatype: 'INT64', shape: [2], data: wanted.label },
      ],
    });
    for (const [i, value] of wanted.logits.flat().entries())
      expect(body.outputs[0]?.data[i], `logit ${i}`).toBeCloseTo(value, 5);
    expect(response.headers.get('x-artifact-version')).toBe('v1');
    expect(response.headers.get('server-timing')).toMatch(
      /^queue;dur=[\d.]+, (load;dur=[\d.]+, )?execute;dur=[\d.]+$/,
    );
  });

  test('serves the dense level where no version is named, and only the outputs asked for', async () => {
    const request = tinyRequest(X, TOKEN, { outputs: [{ name: 'label' }] });
    const { body } = await inferOk(`${model}/infer`, request);
    expect(body.model_version).toBe('2');
    expect(body.outputs).toEqual([
      { name: 'label', datatype: 'INT64', shape: [2], data: tinyReference(2, X, TOKEN).label },
    ]);
  });

  test('sends an output that is not finite as null and says so', async () => {
    const { body } = await inferOk(`${model}/versions/2/infer`, tinyRequest([[3e38, -3e38, 0, 3e38]], [0]));
    expect(body.outputs[0]?.data).toContain(null);
    expect(body.outputs[0]?.parameters).toEqual({ non_finite: expect.any(Number) });
  });

  test('describes itself as the protocol says', async () => {
    const get = async (path: string) => {
      const response = await fetch(`${node.url}${path}`);
      expect(response.headers.get('cache-control')).toBe('no-store');
      return response.json() as Promise<unknown>;
    };
    expect(serverMetadataSchema.parse(await get('/v2')).extensions).toEqual(['binary_tensor_data']);
    expect(await get('/v2/health/live')).toEqual({ live: true });
    expect(await get('/v2/health/ready')).toEqual({ ready: true });
    expect(modelMetadataSchema.parse(await get('/v2/models/tiny'))).toMatchObject({
      name: 'tiny',
      versions: ['0', '1', '2'],
      inputs: [
        { name: 'x', datatype: 'FP32', shape: [-1, 4] },
        { name: 'token', datatype: 'INT64', shape: [-1] },
      ],
    });
    expect(modelMetadataSchema.parse(await get('/v2/models/tiny/versions/1')).versions).toEqual(['1']);
    expect(await get('/v2/models/tiny/ready')).toMatchObject({ ready: true });
    expect(await get('/v2/models/tiny/versions/1/ready')).toMatchObject({ version: '1', ready: true });
  });

  test('reports every level measured before it called itself ready, and counts live requests in', async () => {
    const report = async () => nodeReportSchema.parse(await (await fetch(`${node.url}/v2/report`)).json());
    const before = await report();
    expect(before).toMatchObject({ node: 'test', state: 'ready', workers: 2, queueLength: 0, inFlight: 0 });
    expect(before.models[0]?.levels.map(({ level, resident }) => [level, resident])).toEqual([
      [0, true],
      [1, true],
      [2, true],
    ]);
    for (const { profiles } of before.models[0]!.levels) {
      expect(profiles[0]).toMatchObject({ device: 'cpu', threads: 1, batch: 1 });
      expect(profiles[0]!.samples).toBeGreaterThanOrEqual(3);
    }
    const threes = tinyRequest([X[0]!, X[0]!, X[0]!], [0, 0, 0]);
    await inferOk(`${model}/versions/1/infer`, threes);
    const batches = (await report()).models[0]!.levels[1]!.profiles.map(({ batch, samples }) => [
      batch,
      samples,
    ]);
    expect(batches).toContainEqual([3, 1]);
  });

  test('gives the request id back, and makes one where there is none or a strange one', async () => {
    const id = async (headers: Record<string, string>) =>
      (await fetch(`${node.url}/v2`, { headers })).headers.get('x-request-id');
    expect(await id({ 'x-request-id': 'abc-1' })).toBe('abc-1');
    expect(await id({ 'x-request-id': 'a b' })).toMatch(/^[\da-f-]{36}$/);
    expect(await id({})).toMatch(/^[\da-f-]{36}$/);
  });

  const good = tinyRequest(X, TOKEN);
  test.each([
    ['broken JSON', '{"inputs":', {}, 400, 'bad-json', /not valid JSON/],
    ['no body', '', {}, 400, 'bad-json', /not valid JSON/],
    ['an array', [], {}, 400, 'bad-request', /not an inference request/],
    ['no inputs', { inputs: [] }, {}, 400, 'bad-request', /inputs/],
    ['a deep body', '['.repeat(1000), {}, 400, 'bad-json', /deeper/],
    [
      'an unknown datatype',
      { inputs: [{ ...good.inputs[0], datatype: 'F32' }] },
      {},
      400,
      'bad-request',
      /datatype/,
    ],
    ['a wrong shape', tinyRequest([[1, 2, 3]], [0]), {}, 400, 'bad-shape', /"x" has 3 elements/],
    ['a token beyond the table', tinyRequest([X[0]!], [99]), {}, 400, 'bad-request', /out of data bounds/],
    ['text', good, { 'content-type': 'text/plain' }, 415, 'unsupported-media-type', /text\/plain/],
    [
      'an unknown coding',
      good,
      { 'content-encoding': 'br, gzip' },
      415,
      'unsupported-media-type',
      /br, gzip/,
    ],
    ['what is not compressed as it says', good, { 'content-encoding': 'gzip' }, 400, 'bad-request', /gzip/],
    [
      'binary data without its length',
      `${JSON.stringify(good)}\u0001\u0002`,
      { 'content-type': 'application/octet-stream' },
      400,
      'bad-json',
      /not valid JSON/,
    ],
    [
      'a header length of another body',
      good,
      { 'inference-header-content-length': '40' },
      400,
      'bad-json',
      /Inference-Header-Content-Length says is JSON, the first 40 of \d+ bytes, is not valid JSON/,
    ],
    [
      'a header length beyond the body',
      good,
      { 'inference-header-content-length': '999999' },
      400,
      'bad-header',
      /Inference-Header-Content-Length: "999999"/,
    ],
    [
      'a JSON object that is cut short',
      good,
      { 'inference-header-content-length': '5' },
      400,
      'bad-json',
      /not valid JSON/,
    ],
    [
      'a malformed budget',
      good,
      { 'x-latency-budget': 'soon' },
      400,
      'bad-header',
      /X-Latency-Budget: "soon"/,
    ],
    [
      'a malformed remaining budget',
      good,
      { 'x-latency-budget-remaining': '-1' },
      400,
      'bad-header',
      /X-Latency-Budget-Remaining/,
    ],
    ['a spent budget', good, { 'x-latency-budget-remaining': '0' }, 504, 'budget-overrun', /run out/],
    [
      'a spent budget in ms',
      good,
      { 'x-latency-budget-remaining': '0.0ms' },
      504,
      'budget-overrun',
      /run out/,
    ],
    ['no remaining budget', good, { 'x-latency-budget-remaining': '' }, 400, 'bad-header', /Remaining: ""/],
    ['less than none', good, { 'x-latency-budget-remaining': '-0' }, 400, 'bad-header', /Remaining: "-0"/],
    ['a large body', JSON.stringify(good) + ' '.repeat(100_000), {}, 413, 'body-too-large', /100000 bytes/],
  ])('refuses %s', async (_, body, headers, status, code, message) => {
    const response = await post(`${model}/infer`, body, headers);
    expect(response.status).toBe(status);
    expect(await problemOf(response)).toMatchObject({ status, code, error: expect.stringMatching(message) });
  });

  test('refuses a body over the limit that comes in pieces of unknown total', async () => {
    const body = new ReadableStream({
      pull: (controller) => controller.enqueue(new TextEncoder().encode(' '.repeat(10_000))),
    });
    const request: RequestInit & { duplex: 'half' } = {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      duplex: 'half',
    };
    const response = await fetch(`${model}/infer`, request);
    expect(response.status).toBe(413);
    expect(await problemOf(response)).toMatchObject({ code: 'body-too-large' });
  });

  test('refuses bytes that are not UTF-8', async () => {
    const response = await fetch(`${model}/infer`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: Uint8Array.of(0x22, 0xff, 0x22),
    });
    expect(await problemOf(response)).toMatchObject({ status: 400, code: 'bad-json' });
  });

  test.each([
    ['GET', '/nothing', 404, 'not-found', null],
    ['GET', '/v2/models/other', 404, 'unknown-model', null],
    ['GET', '/v2/models/tiny/versions/3', 404, 'unknown-level', null],
    ['GET', '/v2/models/tiny/versions/01/ready', 404, 'unknown-level', null],
    ['POST', '/v2/models/tiny/versions/-1/infer', 404, 'unknown-level', null],
    ['POST', '/v2/models/other/infer', 404, 'unknown-model', null],
    ['GET', '/v2/models/tiny/infer', 405, 'method-not-allowed', 'POST'],
    ['DELETE', '/v2/models/tiny', 405, 'method-not-allowed', 'GET'],
  ])('%s %s is %i %s', async (method, path, status, code, allow) => {
    const response = await fetch(`${node.url}${path}`, { method });
    expect(response.status).toBe(status);
    expect(response.headers.get('allow')).toBe(allow);
    expect(await problemOf(response)).toMatchObject({ status, code });
  });
});

describe('a node under load', () => {
  test('refuses what its queue cannot hold, and answers the rest', async () => {
    const gate = gatedThreads();
    const node = await readyNode(
      scope,
      { artifact: await tinyArtifact(scope), queueLimit: 1 },
      { spawn: gate.spawn },
    );
    gate.hold();
    const url = `${node.url}/v2/models/tiny/infer`;
    const running = post(url, tinyRequest(X, TOKEN));
    await gate.held(1);
    // Of two more, one waits and one is refused: which, the sockets decide.
    const more = [post(url, tinyRequest(X, TOKEN)), post(url, tinyRequest(X, TOKEN))];
    const refused = await Promise.race(more);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(await problemOf(refused)).toMatchObject({ code: 'queue-full' });
    expect(node.report()).toMatchObject({ queueLength: 1, inFlight: 1 });
    gate.release();
    expect((await running).status).toBe(200);
    expect((await Promise.all(more)).map(({ status }) => status).sort()).toEqual([200, 429]);
  });

  test('refuses a request whose budget passes while it waits', async () => {
    const gate = gatedThreads();
    const node = await readyNode(scope, { artifact: await tinyArtifact(scope) }, { spawn: gate.spawn });
    gate.hold();
    const url = `${node.url}/v2/models/tiny/infer`;
    const running = post(url, tinyRequest(X, TOKEN));
    await gate.held(1);
    const late = await post(url, tinyRequest(X, TOKEN), {
      'x-latency-budget': '1s',
      'x-latency-budget-remaining': '2',
    });
    expect(await problemOf(late)).toMatchObject({ status: 504, code: 'budget-overrun' });
    gate.release();
    expect((await running).status).toBe(200);
  });

  test('forgets a waiting request whose client has gone', async () => {
    const gate = gatedThreads();
    const lines: string[] = [];
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
    const node = await readyNode(
      scope,
      { artifact: await tinyArtifact(scope), queueLimit: 1 },
      { spawn: gate.spawn, log },
    );
    gate.hold();
    const url = `${node.url}/v2/models/tiny/infer`;
    const running = post(url, tinyRequest(X, TOKEN));
    await gate.held(1);
    const client = new AbortController();
    const gone = expect(post(url, tinyRequest(X, TOKEN), {}, client.signal)).rejects.toThrow();
    await expect.poll(() => node.report().queueLength).toBe(1);
    client.abort();
    await gone;
    await expect.poll(() => node.report().queueLength).toBe(0);
    gate.release();
    expect((await running).status).toBe(200);
    expect(lines.filter((line) => line.includes('client went away')).length).toBe(1);
    expect(lines.join('')).not.toContain('request failed');
  });

  test('answers a request whose worker dies under it', async () => {
    const gate = gatedThreads();
    const node = await readyNode(
      scope,
      { artifact: await tinyArtifact(scope), workers: 2 },
      { spawn: gate.spawn },
    );
    gate.hold();
    const running = inferOk(`${node.url}/v2/models/tiny/versions/1/infer`, tinyRequest(X, TOKEN));
    await gate.held(1);
    const killed = gate.killHeld();
    gate.release();
    await killed;
    expect((await running).body.outputs[1]?.data).toEqual(tinyReference(1, X, TOKEN).label);
    await expect.poll(() => gate.spawned).toBe(3);
  });
});
