/** Uploads to the real runtime: nothing half-finished is ever served, and repeating does no harm. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openArtifact } from '../schema/artifact/store.ts';
import type { Manifest } from '../schema/manifest.ts';
import { type UploadRequest, uploadArtifact } from '../trainer/upload/upload-artifact.ts';
import { secrets, type TestGateway, testGateway } from './support/gateway.ts';
import { disposables, problemOf, temporaryDirectory } from './support/node-client.ts';
import { writeTinyArtifact } from './support/tiny-model.ts';

const MAIN = new URL('../trainer/cli/main.ts', import.meta.url).pathname;

const scope = disposables();
let gateway: TestGateway;

beforeAll(async () => {
  gateway = await testGateway(scope);
});
afterAll(() => scope.dispose());

const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');

async function artifact(version: string): Promise<{ dir: string; manifest: Manifest }> {
  const dir = await temporaryDirectory(scope);
  return { dir, manifest: await writeTinyArtifact(dir, { version }) };
}

const upload = (dir: string, over: Partial<UploadRequest> = {}) =>
  uploadArtifact({ dir, url: gateway.url, token: secrets.operatorToken, pauseMs: 1, ...over });

async function put(path: string, bytes: Uint8Array | string, declared = sha256(bytes)): Promise<Response> {
  return gateway.operator('PUT', `/v1/artifacts/${path}`, {
    body: bytes,
    headers: { 'x-content-sha256': declared, 'content-type': 'application/octet-stream' },
  });
}

async function index(model = 'tiny') {
  const response = await gateway.operator('GET', `/v1/artifacts/${model}`);
  return (await response.json()) as { active: string | null; versions: { version: string }[] };
}

describe('an upload', () => {
  test('makes the version active, is read back whole, and changes nothing when repeated', async () => {
    const { dir, manifest } = await artifact('v1');
    const progress: number[] = [];
    const first = await upload(dir, { onProgress: ({ doneBytes }) => progress.push(doneBytes) });
    expect(first).toMatchObject({ model: 'tiny', version: 'v1', activated: true, skippedFiles: 0 });
    expect(first.sentFiles).toBe(manifest.files.length);
    expect(progress.at(-1)).toBe(manifest.files.reduce((sum, file) => sum + file.bytes, 0));
    expect(await index()).toMatchObject({ active: 'v1', versions: [{ version: 'v1' }] });

    const remote = await openArtifact(`${gateway.url}/v1/artifacts/tiny/v1`, { token: secrets.nodeToken });
    expect(remote.manifest).toEqual(manifest);
    for (const { path } of manifest.files)
      expect(await remote.read(path)).toEqual(new Uint8Array(await readFile(join(dir, path))));

    expect(await upload(dir)).toMatchObject({ sentFiles: 0, activated: false });
    const audit = (await (await gateway.operator('GET', '/v1/audit')).json()) as {
      entries: { target: string }[];
    };
    expect(audit.entries.filter(({ target }) => target === 'tiny/v1')).toHaveLength(1);
  });

  test('that is half finished leaves the version before in service, and names what is missing', async () => {
    const { dir, manifest } = await artifact('v2');
    const [first, ...rest] = manifest.files;
    await put(`tiny/v2/${first?.path}`, await readFile(join(dir, first?.path ?? '')));
    const early = await put('tiny/v2/manifest.json', await readFile(join(dir, 'manifest.json')));
    expect(early.status).toBe(409);
    expect(await problemOf(early)).toMatchObject({
      code: 'upload-incomplete',
      missing: rest.map(({ path }) => path),
      different: [],
    });
    expect((await index()).active).toBe('v1');
    expect((await gateway.operator('GET', '/v1/artifacts/tiny/v2/manifest.json')).status).toBe(404);

    expect(await upload(dir)).toMatchObject({ sentFiles: rest.length, skippedFiles: 1, activated: true });
    expect((await index()).active).toBe('v2');
  });

  test('of an earlier version makes that one active again', async () => {
    const { dir } = await artifact('v1');
    expect(await upload(dir)).toMatchObject({ sentFiles: 0, activated: true });
    expect(await index()).toMatchObject({ active: 'v1', versions: [{ version: 'v2' }, { version: 'v1' }] });
  });

  test('goes on after faults that pass', async () => {
    const { dir } = await artifact('v3');
    const proxy = await faultyProxy(gateway.url, 3);
    scope.onDispose(async () => proxy.server.close());
    expect(await upload(dir, { url: proxy.url })).toMatchObject({ version: 'v3', activated: true });
    expect(proxy.faults()).toBe(3);
  });

  test('gives up on a gateway that stays away, and says so', async () => {
    const { dir } = await artifact('v4');
    const dead = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => dead.once('listening', resolve));
    const { port } = dead.address() as AddressInfo;
    await new Promise((resolve) => dead.close(resolve));
    const url = `http://127.0.0.1:${port}`;
    await expect(upload(dir, { url })).rejects.toMatchObject({
      code: 'not-ready',
      message: expect.stringContaining(url),
    });
  });
});

describe('what an upload refuses', () => {
  test('a damaged file, before anything is sent', async () => {
    const { dir, manifest } = await artifact('damaged');
    const file = join(dir, manifest.files.at(-1)?.path ?? '');
    const bytes = await readFile(file);
    bytes[3] = (bytes[3] ?? 0) ^ 1;
    await writeFile(file, bytes);
    await expect(upload(dir)).rejects.toMatchObject({
      code: 'bad-artifact',
      message: expect.stringContaining(manifest.files.at(-1)?.path ?? ''),
    });
    expect((await gateway.operator('HEAD', `/v1/artifacts/tiny/damaged/${manifest.graph}`)).status).toBe(404);
  });

  test('a wrong token', async () => {
    const { dir } = await artifact('v5');
    await expect(upload(dir, { token: 'wrong' })).rejects.toMatchObject({ code: 'unauthorized' });
  });

  test('a folder without a manifest', async () => {
    await expect(upload(await temporaryDirectory(scope))).rejects.toMatchObject({ code: 'unknown-artifact' });
  });

  test('a version that is there with other content', async () => {
    const { dir, manifest } = await artifact('v6');
    await put(`tiny/v6/${manifest.graph}`, 'another graph');
    await expect(upload(dir)).rejects.toMatchObject({ code: 'conflict' });
  });

  test('a manifest that differs from the one the version has', async () => {
    const { dir, manifest } = await artifact('v1');
    const other = JSON.stringify({ ...manifest, seed: manifest.seed + 1 });
    const response = await put('tiny/v1/manifest.json', other);
    expect(response.status).toBe(409);
    expect(await problemOf(response)).toMatchObject({ code: 'conflict' });
    await writeFile(join(dir, 'manifest.json'), other);
    await expect(upload(dir)).rejects.toMatchObject({ code: 'conflict' });
  });

  test('files that are not what was announced', async () => {
    const response = await put('tiny/v7/graph.onnx', 'some bytes', sha256('other bytes'));
    expect(response.status).toBe(422);
    expect(await problemOf(response)).toMatchObject({ code: 'bad-artifact' });
    expect((await gateway.operator('GET', '/v1/artifacts/tiny/v7/graph.onnx')).status).toBe(404);
    const manifest = await put('tiny/v7/manifest.json', '{}', sha256('{ }'));
    expect(await problemOf(manifest)).toMatchObject({ code: 'bad-artifact' });
  });

  test('a manifest that lists other bytes than were sent', async () => {
    const { dir, manifest } = await artifact('v8');
    for (const { path } of manifest.files) await put(`tiny/v8/${path}`, await readFile(join(dir, path)));
    const files = manifest.files.map((file, i) => (i === 0 ? { ...file, bytes: file.bytes + 1 } : file));
    const response = await put('tiny/v8/manifest.json', JSON.stringify({ ...manifest, files }));
    expect(await problemOf(response)).toMatchObject({
      code: 'upload-incomplete',
      missing: [],
      different: [manifest.files[0]?.path],
    });
  });

  test.each([
    ['{', 400, 'bad-json'],
    ['{}', 422, 'bad-artifact'],
  ])('the manifest %s', async (text, status, code) => {
    const response = await put('tiny/v9/manifest.json', text);
    expect(response.status).toBe(status);
    expect(await problemOf(response)).toMatchObject({ code });
  });

  test('a manifest under another name than its own', async () => {
    const { manifest } = await artifact('v1');
    const response = await put('tiny/v10/manifest.json', JSON.stringify(manifest));
    expect(response.status).toBe(400);
    expect(await problemOf(response)).toMatchObject({ detail: expect.stringContaining('tiny/v10') });
  });

  test.each(['Tiny/v1/graph.onnx', 'tiny/v1/Graph.onnx', 'tiny/..%2fv1/graph.onnx', 'tiny/v1/.hidden'])(
    'names like %s',
    async (path) => {
      const response = await put(path, 'x');
      expect(response.status).toBe(400);
    },
  );

  test('files without a sha256, and files over the limit', async () => {
    const bare = await gateway.operator('PUT', '/v1/artifacts/tiny/v11/a.bin', { body: 'x' });
    expect(bare.status).toBe(400);
    expect(await problemOf(bare)).toMatchObject({ code: 'bad-header', header: 'x-content-sha256' });
    const small = await testGateway(scope, { vars: { MAX_ARTIFACT_FILE_BYTES: '4' } });
    const response = await small.operator('PUT', '/v1/artifacts/tiny/v1/a.bin', {
      body: 'five!',
      headers: { 'x-content-sha256': sha256('five!') },
    });
    expect(response.status).toBe(413);
  });
});

test('a file put twice at once is one file', async () => {
  const [same, other] = await Promise.all([
    Promise.all([put('tiny/w1/a.bin', 'same'), put('tiny/w1/a.bin', 'same')]),
    Promise.all([put('tiny/w2/a.bin', 'one'), put('tiny/w2/a.bin', 'two')]),
  ]);
  expect(same.map(({ status }) => status).sort()).toEqual([200, 201]);
  expect(other.map(({ status }) => status).sort()).toEqual([201, 409]);
});

describe('reading a file', () => {
  const path = '/v1/artifacts/tiny/r1/a.bin';
  // Of an upload that goes on, which nodes are not shown.
  const read = (headers: Record<string, string> = {}, method = 'GET') =>
    gateway.operator(method, path, { headers });

  beforeAll(async () => {
    expect((await put('tiny/r1/a.bin', '0123456789')).status).toBe(201);
  });

  test.each([
    [{}, 200, '0123456789', null],
    [{ range: 'bytes=2-4' }, 206, '234', 'bytes 2-4/10'],
    [{ range: 'bytes=7-' }, 206, '789', 'bytes 7-9/10'],
    [{ range: 'bytes=-2' }, 206, '89', 'bytes 8-9/10'],
    [{ range: 'bytes=0-1,3-4' }, 200, '0123456789', null],
    [{ range: 'bytes=2-4', 'if-range': '"another"' }, 200, '0123456789', null],
  ])('with %j', async (headers, status, text, contentRange) => {
    const response = await read(headers as Record<string, string>);
    expect(response.status).toBe(status);
    expect(await response.text()).toBe(text);
    expect(response.headers.get('content-range')).toBe(contentRange);
    expect(response.headers.get('x-content-sha256')).toBe(sha256('0123456789'));
  });

  test('beyond its end is 416', async () => {
    const response = await read({ range: 'bytes=10-' });
    expect(response.status).toBe(416);
    expect(response.headers.get('content-range')).toBe('bytes */10');
    expect(await problemOf(response)).toMatchObject({ code: 'range-not-satisfiable', sizeBytes: 10 });
  });

  test('again with its ETag is 304, and HEAD tells its size and hash', async () => {
    const etag = (await read()).headers.get('etag') as string;
    expect((await read({ 'if-none-match': etag })).status).toBe(304);
    const head = await read({}, 'HEAD');
    expect(head.status).toBe(200);
    expect(head.headers.get('content-length')).toBe('10');
    expect(head.headers.get('x-content-sha256')).toBe(sha256('0123456789'));
  });
});

describe('trainer upload', () => {
  const run = (args: readonly string[], env: Record<string, string> = {}) =>
    new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
      const command = [MAIN, 'upload', ...args];
      execFile(process.execPath, command, { env: { ...process.env, ...env } }, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
      );
    });

  test('sends an artifact with the token of a file or of the environment', async () => {
    const { dir } = await artifact('cli1');
    const tokenFile = join(await temporaryDirectory(scope), 'token');
    await writeFile(tokenFile, `${secrets.operatorToken}\n`);
    const first = await run([dir, '--to', gateway.url, '--token-file', tokenFile, '--json']);
    expect(first.code).toBe(0);
    expect(JSON.parse(first.stdout)).toMatchObject({ version: 'cli1', activated: true });
    const second = await run([dir, '--to', gateway.url], { SPP_OPERATOR_TOKEN: secrets.operatorToken });
    expect(second).toMatchObject({ code: 0, stdout: expect.stringContaining('active already') });
  });

  test('without a token or with a wrong address is the caller’s fault', async () => {
    const { dir } = await artifact('cli2');
    const none = await run([dir, '--to', gateway.url], { SPP_OPERATOR_TOKEN: '' });
    expect(none).toMatchObject({ code: 2, stderr: expect.stringContaining('SPP_OPERATOR_TOKEN') });
    const wrong = await run([dir, '--to', 'nowhere'], { SPP_OPERATOR_TOKEN: 'x' });
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('nowhere') });
  });
});

/** Hands requests on, but drops the connection or answers 503 for the first `count` uploads. */
async function faultyProxy(target: string, count: number) {
  let faults = 0;
  const server: Server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (request.method === 'PUT' && faults < count) {
      faults++;
      if (faults % 2 === 1) return response.destroy();
      return response.writeHead(503).end();
    }
    const { host: _, connection: __, ...headers } = request.headers as Record<string, string>;
    const answer = await fetch(`${target}${request.url}`, {
      method: request.method ?? 'GET',
      headers,
      ...(request.method === 'PUT' ? { body: Buffer.concat(chunks) } : {}),
    });
    const body = Buffer.from(await answer.arrayBuffer());
    const sha = answer.headers.get('x-content-sha256');
    return response.writeHead(answer.status, sha === null ? {} : { 'x-content-sha256': sha }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, faults: () => faults };
}
