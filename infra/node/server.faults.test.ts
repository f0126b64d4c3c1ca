import { once } from 'node:events';
import { open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import type { InferResponse } from '../../schema/protocol.ts';
import { connect } from '../../scripts/bench-node/http-exchange.ts';
import { gatedThreads } from '../../test/support/gated-threads.ts';
import {
  disposables,
  inferOk,
  post,
  postBytes,
  problemOf,
  readyNode,
  temporaryDirectory,
  tinyArtifact,
  tinyBinaryRequest,
  tinyRequest,
} from '../../test/support/node-client.ts';
import { tinyReference } from '../../test/support/tiny-model.ts';
import { type SpawnThread, spawnSessionThread, type Thread } from './execution/asked-thread.ts';
import { createLogger } from './log.ts';
import { startNode } from './server.ts';

const scope = disposables();
afterEach(() => scope.dispose());

const X = [
  [0.5, -1, 2, 0.25],
  [-3, 1, 0, 1],
];
const TOKEN = [3, 0];

async function flipByte(file: string): Promise<Buffer> {
  const bytes = await readFile(file);
  const damaged = Buffer.from(bytes);
  damaged[7]! ^= 1;
  await writeFile(file, damaged);
  return bytes;
}

describe('a damaged artifact', () => {
  test('of which the weights on disk are overwritten is served right again within two polls', async () => {
    const directory = await tinyArtifact(scope);
    const node = await readyNode(scope, { artifact: directory, pollMs: 100 });
    const answers = async () =>
      Promise.all(
        [0, 1].map(async (level) => {
          const { body } = await inferOk(
            `${node.url}/v2/models/tiny/versions/${level}/infer`,
            tinyRequest(X, TOKEN),
          );
          return body.outputs[0]?.data;
        }),
      );
    const right = await answers();
    const [cache = ''] = await readdir(join(directory, '.node'));
    const weights = join(directory, '.node', cache, 'weights.bin');
    const wrong = new Uint8Array((await stat(weights)).size).fill(0x42);
    const file = await open(weights, 'r+');
    await file.write(wrong, 0, wrong.length, 0);
    await file.close();
    await expect.poll(async () => Buffer.compare(await readFile(weights), wrong)).not.toBe(0);
    await expect.poll(answers).toEqual(right);
  });

  test('leaves the levels that do not need the file in service, and is taken up again when mended', async () => {
    const directory = await tinyArtifact(scope);
    const file = join(directory, 'weights-01.bin');
    const whole = await flipByte(file);
    const node = await readyNode(scope, { artifact: directory, pollMs: 100 });
    const model = `${node.url}/v2/models/tiny`;
    expect((await post(`${model}/versions/0/infer`, tinyRequest(X, TOKEN))).status).toBe(200);
    for (const level of [1, 2]) {
      const response = await post(`${model}/versions/${level}/infer`, tinyRequest(X, TOKEN));
      expect(response.headers.get('retry-after')).toBe('1');
      expect(await problemOf(response)).toMatchObject({
        status: 503,
        code: 'level-unavailable',
        reason: 'bad-artifact',
        detail: expect.stringContaining('weights-01.bin does not match its sha256'),
      });
      expect((await fetch(`${model}/versions/${level}/ready`)).status).toBe(503);
    }
    expect(node.report().models[0]?.levels.map(({ level }) => level)).toEqual([0]);
    await writeFile(file, whole);
    await expect
      .poll(() => node.report().models[0]?.levels.map(({ level }) => level), { timeout: 20_000 })
      .toEqual([0, 1, 2]);
    expect((await post(`${model}/versions/2/infer`, tinyRequest(X, TOKEN))).status).toBe(200);
  });

  test('of which no level can be served is refused, naming the file', async () => {
    const directory = await tinyArtifact(scope);
    await flipByte(join(directory, 'weights-00.bin'));
    const node = await startNode({ artifact: directory, port: 0, workers: 1, logLevel: 'silent' });
    scope.onDispose(() => node.close());
    await expect(node.ready).rejects.toMatchObject({ message: expect.stringContaining('weights-00.bin') });
    expect((await fetch(`${node.url}/v2/health/live`)).status).toBe(200);
    expect(await problemOf(await fetch(`${node.url}/v2/health/ready`))).toMatchObject({ code: 'not-ready' });
    expect(await problemOf(await post(`${node.url}/v2/models/tiny/infer`, {}))).toMatchObject({
      code: 'not-ready',
    });
  });

  test('without a manifest is refused before the node listens', async () => {
    const directory = await temporaryDirectory(scope);
    await expect(startNode({ artifact: directory, port: 0 })).rejects.toMatchObject({
      code: 'unknown-artifact',
    });
  });
});

describe('files of weights that are removed while they are served', () => {
  test('are done without, when a thread is lost that had loaded them, too', async () => {
    const cacheDir = await temporaryDirectory(scope);
    let last: Worker | undefined;
    const node = await readyNode(
      scope,
      { artifact: await tinyArtifact(scope), cacheDir },
      {
        spawn: (data) => {
          last = spawnSessionThread(data);
          return last;
        },
      },
    );
    // The node may be writing a packed level at this moment.
    await rm(cacheDir, { recursive: true, maxRetries: 20, retryDelay: 50 });
    await last?.terminate();
    for (const level of [2, 0, 1]) {
      const url = `${node.url}/v2/models/tiny/versions/${level}/infer`;
      const { body } = await inferOk(url, tinyRequest(X, TOKEN));
      expect(body.outputs[1]?.data).toEqual(tinyReference(level, X, TOKEN).label);
    }
    expect(node.report().models[0]?.levels.map(({ level }) => level)).toEqual([0, 1, 2]);
  });
});

describe('stopping', () => {
  test('finishes accepted requests, refuses new ones, then closes the port', async () => {
    const gate = gatedThreads();
    const node = await readyNode(scope, { artifact: await tinyArtifact(scope) }, { spawn: gate.spawn });
    gate.hold();
    const url = `${node.url}/v2/models/tiny/infer`;
    const [running, waiting] = [post(url, tinyRequest(X, TOKEN)), post(url, tinyRequest(X, TOKEN))];
    await gate.held(1);
    await expect.poll(() => node.report().queueLength).toBe(1);
    const closed = node.close();
    expect(node.report().state).toBe('draining');
    expect(await problemOf(await fetch(`${node.url}/v2/health/ready`))).toMatchObject({ code: 'draining' });
    const refused = await post(url, tinyRequest(X, TOKEN));
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await problemOf(refused)).toMatchObject({ code: 'draining' });
    gate.release();
    expect((await Promise.all([running, waiting])).map(({ status }) => status)).toEqual([200, 200]);
    await closed;
    await expect(fetch(`${node.url}/v2`)).rejects.toThrow();
  });

  test('ends behind the last answer of each connection, once that has been taken', async () => {
    const gate = gatedThreads();
    const node = await readyNode(scope, { artifact: await tinyArtifact(scope) }, { spawn: gate.spawn });
    const body = JSON.stringify(tinyRequest(X, TOKEN));
    const socket = await connect(Number(new URL(node.url).port));
    let received = '';
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
    });
    const ended = once(socket, 'close');
    gate.hold();
    const head = 'POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\n';
    socket.write(`${head}Content-Length: ${body.length}\r\n\r\n${body}`.repeat(40));
    await gate.held(1);
    // 32 are worked on; those that have not begun are refused.
    await expect.poll(() => node.report().queueLength + node.report().inFlight).toBe(32);
    const closed = node.close();
    gate.release();
    await Promise.all([closed, ended]);
    const statuses = received.match(/(?<=HTTP\/1\.1 )\d+/g)?.map(Number);
    expect(statuses).toEqual([...Array(32).fill(200), ...Array(8).fill(503)]);
  });

  test('waits for a client that takes its answer slowly', async () => {
    const node = await readyNode(scope, { artifact: await tinyArtifact(scope) });
    const rows = 200_000;
    // More than the system holds for a client that does not read.
    const { body, headerLength } = tinyBinaryRequest(
      Array(rows).fill([0.1, 0.2, 0.3, 0.4]),
      Array(rows).fill(0),
    );
    const response = await postBytes(`${node.url}/v2/models/tiny/infer`, body, String(headerLength));
    const closed = node.close();
    expect((await fetch(`${node.url}/v2/health/ready`)).status).toBe(503);
    const answer = (await response.json()) as InferResponse;
    expect(answer.outputs[1]?.data.length).toBe(rows);
    await closed;
  });

  test('refuses what does not finish in time', async () => {
    const gate = gatedThreads();
    const node = await readyNode(
      scope,
      { artifact: await tinyArtifact(scope), drainMs: 1 },
      { spawn: gate.spawn },
    );
    gate.hold();
    const url = `${node.url}/v2/models/tiny/infer`;
    const responses = [post(url, tinyRequest(X, TOKEN)), post(url, tinyRequest(X, TOKEN))];
    await gate.held(1);
    await expect.poll(() => node.report().queueLength).toBe(1);
    await node.close();
    for (const response of await Promise.all(responses))
      expect(await problemOf(response)).toMatchObject({ status: 503, code: 'draining' });
  });

  test.each([0, 5, 20])('%d ms after the start leaves no thread behind', async (ms) => {
    const alive = new Set<Thread>();
    const spawn: SpawnThread = (data) => {
      const thread = spawnSessionThread(data);
      alive.add(thread);
      thread.on('exit', () => alive.delete(thread));
      return thread;
    };
    const options = { artifact: await tinyArtifact(scope), port: 0, workers: 2 };
    const node = await startNode(options, { log: createLogger('silent', 'test'), spawn });
    await sleep(ms);
    await node.close();
    expect(alive.size).toBe(0);
    // What was still under way would start its threads now.
    await sleep(200);
    expect(alive.size).toBe(0);
  });
});

describe('access', () => {
  test('needs the token under auth: token, but for health', async () => {
    const node = await readyNode(scope, {
      artifact: await tinyArtifact(scope),
      auth: 'token',
      token: 'right',
    });
    const status = async (path: string, authorization?: string) =>
      (await fetch(`${node.url}${path}`, authorization ? { headers: { authorization } } : {})).status;
    expect(await status('/v2/health/live')).toBe(200);
    expect(await status('/v2/health/ready')).toBe(200);
    for (const wrong of [undefined, 'Bearer wrong', 'Bearer rightt', 'Basic right', 'Bearer'])
      expect([wrong, await status('/v2/report', wrong)]).toEqual([wrong, 401]);
    expect(await status('/nothing')).toBe(401);
    expect((await fetch(`${node.url}/v2/report`)).headers.get('www-authenticate')).toBe('Bearer');
    expect(await status('/v2/report', 'Bearer right')).toBe(200);
    const authorization = 'Bearer right';
    const response = await post(`${node.url}/v2/models/tiny/infer`, tinyRequest(X, TOKEN), { authorization });
    expect(response.status).toBe(200);
  });

  test('is not left open on a host that others can reach', async () => {
    const artifact = await tinyArtifact(scope);
    await expect(startNode({ artifact, host: '0.0.0.0', port: 0 })).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('NODE_TOKEN'),
    });
  });
});
