/** A node whose artifact comes file by file from a slow server: what it serves in the meantime. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import {
  type Disposable,
  disposables,
  inferOk,
  post,
  problemOf,
  readyNode,
  temporaryDirectory,
  tinyArtifact,
  tinyRequest,
} from '../../test/support/node-client.ts';
import { tinyReference } from '../../test/support/tiny-model.ts';

const scope = disposables();
afterEach(() => scope.dispose());

const X = [[0.5, -1, 2, 0.25]];

/** Serves a directory's files; those named stop until `release`, those in `failing` are answered with 500. */
async function gatedFiles(owner: Disposable, directory: string, gated: readonly string[]) {
  const gate = Promise.withResolvers<void>();
  const asked: string[] = [];
  const failing = new Set<string>();
  const server = createServer(async (request, response) => {
    const name = basename(request.url ?? '');
    asked.push(name);
    if (gated.includes(name)) await gate.promise;
    if (failing.has(name)) return void response.writeHead(500).end();
    response.end(await readFile(join(directory, name)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  owner.onDispose(async () => {
    gate.resolve();
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/tiny`;
  return { url, asked, failing, release: () => gate.resolve() };
}

describe('a node whose artifact is still coming', () => {
  test('serves the levels that are there, in place of denser ones where it may, and climbs as they come', async () => {
    const directory = await tinyArtifact(scope);
    const files = await gatedFiles(scope, directory, ['weights-01.bin']);
    const cacheDir = await temporaryDirectory(scope);
    const node = await readyNode(scope, { artifact: files.url, cacheDir });
    const dense = `${node.url}/v2/models/tiny/versions/2/infer`;
    const request = tinyRequest(X, [3]);
    const ready = async (level: number) =>
      (await fetch(`${node.url}/v2/models/tiny/versions/${level}/ready`)).status;

    expect([await ready(0), await ready(2)]).toEqual([200, 503]);
    const first = await inferOk(`${node.url}/v2/models/tiny/infer`, request);
    expect(first.body.model_version).toBe('0');
    for (const [i, value] of tinyReference(0, X, [3]).logits.flat().entries())
      expect(first.body.outputs[0]?.data[i]).toBeCloseTo(value, 5);
    const stepped = await inferOk(dense, request, { 'x-latency-budget': '5s', 'x-path-min-level': '0' });
    expect(stepped.body.model_version).toBe('0');
    expect(stepped.response.headers.get('x-path-stepped-from')).toBe('2');
    const refused = await post(dense, request, { 'x-latency-budget': '50ms' });
    expect(await problemOf(refused)).toMatchObject({ status: 504, code: 'budget-overrun' });
    expect(files.asked).not.toContain('weights-02.bin');

    const waiting = inferOk(dense, request);
    files.release();
    expect((await waiting).body.model_version).toBe('2');
    expect(await ready(2)).toBe(200);
    await expect
      .poll(async () => (await inferOk(`${node.url}/v2/models/tiny/infer`, request)).body.model_version)
      .toBe('2');
  });

  test('answers at the densest level that is there while the origin fails, and climbs when it does not', async () => {
    const directory = await tinyArtifact(scope);
    const files = await gatedFiles(scope, directory, []);
    files.failing.add('own-02.bin');
    const cacheDir = await temporaryDirectory(scope);
    const node = await readyNode(scope, { artifact: files.url, cacheDir, pollMs: 50 });
    const reported = () => node.report().models[0]?.levels.map(({ level }) => level);
    await expect.poll(reported, { timeout: 20_000 }).toEqual([0, 1]);
    const answered = async () =>
      (await inferOk(`${node.url}/v2/models/tiny/infer`, tinyRequest(X, [3]))).body.model_version;
    expect(await answered()).toBe('1');
    files.failing.clear();
    await expect.poll(answered, { timeout: 20_000 }).toBe('2');
  });

  test('takes up what an earlier start has fetched, and fetches nothing twice', async () => {
    const directory = await tinyArtifact(scope);
    const files = await gatedFiles(scope, directory, []);
    const cacheDir = await temporaryDirectory(scope);
    const first = await readyNode(scope, { artifact: files.url, cacheDir });
    await inferOk(`${first.url}/v2/models/tiny/versions/2/infer`, tinyRequest(X, [3]));
    await expect.poll(() => files.asked.filter((name) => name.startsWith('own')).length).toBe(3);
    await first.close();
    files.asked.length = 0;
    const second = await readyNode(scope, { artifact: files.url, cacheDir });
    await inferOk(`${second.url}/v2/models/tiny/versions/2/infer`, tinyRequest(X, [3]));
    expect(files.asked).toEqual(['manifest.json', 'graph.onnx']);
  });
});
