/** The whole road on the bundled model, with nothing made up: trainer, upload, D1 and R2, the node as a process, the gateway. */
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { openArtifact, sha256Hex } from '../schema/artifact/store.ts';
import type { Manifest } from '../schema/manifest.ts';
import type { Policy } from '../schema/policy.ts';
import type { InferResponse } from '../schema/protocol.ts';
import { openDigits } from '../scripts/local/digits.ts';
import { lastingPort } from '../scripts/local/ports.ts';
import { buildPath } from '../trainer/build/build-path.ts';
import { buildOptionsSchema } from '../trainer/build/options.ts';
import { silentProgress } from '../trainer/build/progress.ts';
import { type IdxDataset, openMnist } from '../trainer/data/idx-dataset.ts';
import type { Tensor } from '../trainer/graph/graph.ts';
import { writeOnnx } from '../trainer/graph/onnx-file.ts';
import { relativeError } from '../trainer/graph/relative-error.ts';
import { createOrtSession } from '../trainer/runtime/ort-session.ts';
import { uploadArtifact } from '../trainer/upload/upload-artifact.ts';
import { type RequestOptions, secrets, type TestGateway, testGateway } from './support/gateway.ts';
import { maskedLevel } from './support/masked-level.ts';
import { disposables, problemOf, temporaryDirectory } from './support/node-client.ts';
import { type NodeProcess, nodeProcess } from './support/node-process.ts';

const MODEL = new URL('../examples/digits/digits.onnx', import.meta.url).pathname;
/** Large, so that no load on this machine decides. */
const AMPLE = { 'x-latency-budget': '600s' };

const scope = disposables();
let directory: string;
let manifest: Manifest;
let data: IdxDataset;
let gateway: TestGateway;
let node: NodeProcess;
let nodeFlags: string[];

beforeAll(async () => {
  directory = join(await temporaryDirectory(scope), 'digits');
  manifest = await buildPath({
    modelPath: MODEL,
    dataset: await openMnist(),
    out: directory,
    options: buildOptionsSchema.parse({
      id: 'digits',
      levels: 5,
      steps: 40,
      recover: 'off',
      frontier: false,
      batch: 32,
      calibration: 512,
      testSamples: 4000,
      workers: 2,
    }),
    resume: false,
    force: false,
    progress: silentProgress,
  });
  data = await openDigits(manifest);
  const port = await lastingPort();
  gateway = await testGateway(scope, { nodes: [{ name: 'local', url: `http://127.0.0.1:${port}` }] });
  nodeFlags = [
    '--artifact',
    `${gateway.url}/v1/artifacts/digits`,
    '--port',
    String(port),
    '--poll-ms',
    '200',
  ];
  // Before the upload: the node waits for it.
  node = nodeProcess(scope, nodeFlags, secrets.nodeToken);
  await uploadArtifact({ dir: directory, url: gateway.url, token: secrets.operatorToken });
  await node.ready;
});
afterAll(() => scope.dispose());

const infer = (init: RequestOptions & { level?: number | string } = {}) =>
  gateway.client(
    'POST',
    init.level === undefined ? '/v2/models/digits/infer' : `/v2/models/digits/versions/${init.level}/infer`,
    { body: images([0]), ...init, headers: { ...AMPLE, ...init.headers } },
  );

function images(indices: readonly number[]) {
  const { dims, data: pixels } = data.test.images(indices);
  const input = {
    name: 'pixel_values',
    shape: dims,
    datatype: 'FP32',
    data: Array.from(pixels as Float32Array),
  };
  return { inputs: [input] };
}

async function putPolicy(over: Partial<Policy>): Promise<void> {
  const current = await gateway.operator('GET', '/v1/policy');
  const etag = current.headers.get('etag') as string;
  const body = { ...((await current.json()) as Policy), ...over };
  expect((await gateway.operator('PUT', '/v1/policy', { body, headers: { 'if-match': etag } })).status).toBe(
    200,
  );
}

/** Share of the first `count` test images that a level, asked for by number, gets right. */
async function servedAccuracy(level: number, count: number, batch: number): Promise<number> {
  let right = 0;
  for (let first = 0; first < count; first += batch) {
    const indices = Array.from({ length: batch }, (_, i) => first + i);
    const labels = data.test.labels(indices);
    const response = await infer({ level, body: images(indices) });
    if (response.status !== 200) throw new Error(`answered ${response.status}: ${await response.text()}`);
    expect(response.headers.get('x-path-level')).toBe(String(level));
    const { outputs, model_version } = (await response.json()) as InferResponse;
    expect(model_version).toBe(String(level));
    expect(outputs[0]?.shape).toEqual([batch, 10]);
    const logits = outputs[0]?.data as number[];
    for (const [i, label] of labels.entries()) {
      const row = logits.slice(10 * i, 10 * i + 10);
      if (row.indexOf(Math.max(...row)) === label) right++;
    }
  }
  return right / count;
}

describe('served levels', () => {
  test.each([0, 2, 4])('level %d is as accurate as its manifest says', async (level) => {
    const { quality } = manifest.levels[level] as Manifest['levels'][number];
    const served = await servedAccuracy(level, 1000, 50);
    // 1,000 of the images the manifest counted: three and a half deviations of the difference, by the binomial law.
    const { value: p, samples } = quality;
    const deviation = Math.sqrt(Math.max(p * (1 - p), 0.005) * (1 / 1000 - 1 / samples));
    expect(Math.abs(served - p)).toBeLessThanOrEqual(3.5 * deviation);
  });

  test('answer as the dense graph with their masks does in onnxruntime', async () => {
    const artifact = await openArtifact(directory);
    const indices = [0, 1, 2, 3, 4, 5, 6, 7];
    for (const { level } of manifest.levels) {
      const session = await createOrtSession(writeOnnx(await maskedLevel(artifact, level)), { threads: 1 });
      const { logits } = await session.run({ pixel_values: data.test.images(indices) });
      await session.close();
      const { outputs } = (await (await infer({ level, body: images(indices) })).json()) as InferResponse;
      const served = outputs[0]?.data as number[];
      expect(relativeError(served, (logits as Tensor).data).relative).toBeLessThan(1e-4);
    }
  });

  test('are paid for as what they run: members that stand twice make no request another one', async () => {
    const [one, three] = [JSON.stringify(images([0])), JSON.stringify(images([0, 1, 2]))];
    const statuses = [three, `${one.slice(0, -1)},${three.slice(1)}`].map(
      async (body) => (await infer({ level: 0, body })).status,
    );
    expect(await Promise.all(statuses)).toEqual([200, 400]);
  });

  test('are listed with their quality and what they take now', async () => {
    const response = await gateway.client('GET', '/v2/models/digits');
    const { levels, artifactVersion } = (await response.json()) as {
      artifactVersion: string;
      levels: { level: number; quality: unknown; relativeFlops: number; predictedMs: number }[];
    };
    expect(artifactVersion).toBe(manifest.model.version);
    expect(levels.map(({ level, quality, relativeFlops }) => ({ level, quality, relativeFlops }))).toEqual(
      manifest.levels.map(({ level, quality, relativeFlops }) => ({ level, quality, relativeFlops })),
    );
    for (const { predictedMs } of levels) expect(predictedMs).toBeGreaterThan(0);
  });
});

describe('the policy', () => {
  test('is followed by the very next decisions', async () => {
    const level = async () => Number((await infer()).headers.get('x-path-level'));
    await putPolicy({ tiers: [] });
    const best = manifest.levels.toSorted(
      (a, b) => b.quality.value - a.quality.value || a.flops - b.flops,
    )[0];
    expect(await level()).toBe(best?.level);
    const tier = { name: 'sparse', upToMs: 3_600_000, minSparsity: 0.7, maxSparsity: 1 };
    await putPolicy({ tiers: [tier] });
    expect(manifest.levels[await level()]?.sparsity).toBeGreaterThanOrEqual(0.7);
    await putPolicy({ tiers: [{ ...tier, minSparsity: 0, maxSparsity: 0.01 }] });
    expect(manifest.levels[await level()]?.sparsity).toBeLessThanOrEqual(0.01);
    await putPolicy({ tiers: [] });
    expect(await level()).toBe(best?.level);
  });

  test('refuses a budget that nothing fits, or serves the sparsest level, as it says', async () => {
    await putPolicy({ infeasible: 'refuse' });
    const refused = await infer({ headers: { 'x-latency-budget': '0.001ms' } });
    expect(refused.status).toBe(422);
    expect(await problemOf(refused)).toMatchObject({ code: 'budget-infeasible', level: 0 });
    await putPolicy({ infeasible: 'serve-sparsest', defaultLatencyBudgetMs: 60_000 });
    const served = await infer({ headers: { 'x-latency-budget': '0.001ms' } });
    expect(served.status).toBe(200);
    expect(served.headers.get('x-path-level')).toBe('0');
    expect(served.headers.get('x-path-decision')).toBe('infeasible-served-sparsest');
    expect(served.headers.get('x-latency-budget-remaining')).toBe('0');
  });
});

describe('bad requests', () => {
  const input = (over: object) => ({ inputs: [{ ...images([0]).inputs[0], ...over }] });

  test.each([
    ['a wrong shape', () => input({ shape: [1, 1, 28, 27] }), 400, 'bad-shape'],
    ['too few elements', () => input({ data: [1, 2, 3] }), 400, 'bad-shape'],
    ['a wrong datatype', () => input({ datatype: 'INT64' }), 400, 'bad-datatype'],
    ['an element that is no number', () => input({ data: Array(784).fill('x') }), 400, 'bad-datatype'],
    ['an unknown input', () => input({ name: 'pixels' }), 400, 'bad-request'],
    ['a body that is no JSON', () => '{"inputs": [', 400, 'bad-json'],
  ])('with %s are told so', async (_, body, status, code) => {
    const response = await infer({ body: body() });
    expect(response.status).toBe(status);
    expect(await problemOf(response)).toMatchObject({ code, error: expect.any(String) });
  });

  test('for levels and models that are not there are told so', async () => {
    for (const level of [5, 99, 'dense'])
      expect(await problemOf(await infer({ level }))).toMatchObject({ status: 404, code: 'unknown-level' });
    const model = await gateway.client('POST', '/v2/models/letters/infer', { body: images([0]) });
    expect(await problemOf(model)).toMatchObject({ status: 404, code: 'unknown-model' });
  });

  test('with a wrong operator token change nothing', async () => {
    const dir = directory;
    await expect(uploadArtifact({ dir, url: gateway.url, token: 'wrong' })).rejects.toMatchObject({
      code: 'unauthorized',
    });
  });
});

describe('a newer version', () => {
  test('is not served while it is half uploaded, and is once it is whole', async () => {
    const next = join(await temporaryDirectory(scope), 'next');
    await cp(directory, next, { recursive: true });
    const file = join(next, 'manifest.json');
    const renamed = { ...manifest, model: { ...manifest.model, version: 'next' } };
    await writeFile(file, JSON.stringify(renamed));
    const version = async () => (await infer()).headers.get('x-artifact-version');

    const halfway = new AbortController();
    const upload = uploadArtifact({
      dir: next,
      url: gateway.url,
      token: secrets.operatorToken,
      signal: halfway.signal,
      onProgress: ({ doneBytes, totalBytes }) => {
        if (doneBytes > totalBytes / 2) halfway.abort();
      },
    });
    await expect(upload).rejects.toMatchObject({ code: 'interrupted' });
    const body = await readFile(file, 'utf8');
    const early = await gateway.operator('PUT', '/v1/artifacts/digits/next/manifest.json', {
      body,
      headers: { 'x-content-sha256': sha256Hex(Buffer.from(body)) },
    });
    expect(await problemOf(early)).toMatchObject({ status: 409, code: 'upload-incomplete' });
    expect(await version()).toBe(manifest.model.version);

    const rest = await uploadArtifact({ dir: next, url: gateway.url, token: secrets.operatorToken });
    expect(rest.skippedFiles).toBeGreaterThan(0);
    expect(rest.sentFiles).toBeGreaterThan(0);
    await vi.waitFor(async () => expect(await version()).toBe('next'), { timeout: 60_000, interval: 100 });
  });
});

describe('a node that is killed', () => {
  test('leaves 503 with Retry-After, and serves again without a restart of the gateway', async () => {
    await node.kill();
    const response = await infer();
    expect(response.status).toBe(503);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await problemOf(response)).toMatchObject({ code: 'no-node' });
    node = nodeProcess(scope, nodeFlags, secrets.nodeToken);
    await node.ready;
    await vi.waitFor(async () => expect((await infer()).status).toBe(200), { timeout: 30_000, interval: 50 });
  });
});
