import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { open, readdir, readFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { getPriority } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { artifactServer } from '../../test/support/node-artifact-server.ts';
import {
  disposables,
  inferOk,
  post,
  readyNode,
  tinyArtifact,
  tinyRequest,
} from '../../test/support/node-client.ts';
import { tinyReference } from '../../test/support/tiny-model.ts';
import { allocatorSettings } from './allocator.ts';

const scope = disposables();
afterEach(() => scope.dispose());

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const X = [[0.5, -1, 2, 0.25]];
const TOKEN = [3];

interface Program {
  readonly child: ChildProcess;
  /** What has come so far. */
  readonly output: { stdout: string; stderr: string };
  /** Resolves with the exit code once all output is here. */
  readonly ended: Promise<number | null>;
  line(start: string): Promise<string>;
}

/** @param log descriptor that takes the program's log; its output is a pipe else */
function program(
  args: readonly string[],
  env: Record<string, string> = {},
  log: number | 'pipe' = 'pipe',
): Program {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { ...process.env, NODE_TOKEN: '', ...env },
    stdio: ['ignore', 'pipe', log],
  });
  const stdout = child.stdout as Readable;
  const output = { stdout: '', stderr: '' };
  const ended = once(child, 'close').then(([code]) => code as number | null);
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream]?.setEncoding('utf8').on('data', (text: string) => {
      output[stream] += text;
    });
  scope.onDispose(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const find = (start: string) => output.stdout.split('\n').find((line) => line.startsWith(start));
  return {
    child,
    output,
    ended,
    async line(start) {
      const early = ended.then((code) => {
        throw new Error(`ended with ${code} before a line "${start}": ${output.stderr}`);
      });
      early.catch(() => {});
      while (find(start) === undefined) await Promise.race([once(stdout, 'data'), early]);
      return find(start) ?? '';
    },
  };
}

describe('the node as a program', () => {
  test('says when it is ready, serves, and ends with 0 on SIGTERM', async () => {
    const artifact = await tinyArtifact(scope);
    const node = program(['--artifact', artifact, '--port', '0', '--workers', '1']);
    const ready = await node.line('ready');
    const url = /^ready (http:\/\/127\.0\.0\.1:\d+) tiny@v1$/.exec(ready)?.[1];
    const { body } = await inferOk(`${url}/v2/models/tiny/infer`, tinyRequest(X, TOKEN), {
      traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
    });
    expect(body.outputs[1]?.data).toEqual(tinyReference(2, X, TOKEN).label);
    node.child.kill('SIGTERM');
    expect(await node.ended).toBe(0);
    for (const line of node.output.stderr.trim().split('\n')) expect(JSON.parse(line)).toHaveProperty('msg');
    expect(node.output.stdout.trim().split('\n')).toEqual([ready]);
  });

  test('ends with 0 on SIGTERM while it has nothing but an address, too', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    scope.onDispose(async () => silent.close());
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const node = program(['--artifact', `http://127.0.0.1:${port}/v1/artifacts/tiny/v1`, '--port', '0']);
    await once(silent, 'connection');
    node.child.kill('SIGTERM');
    expect(await node.ended).toBe(0);
    expect(node.output).toEqual({ stdout: '', stderr: '' });
  });

  test('logs the trace of a request', async () => {
    const artifact = await tinyArtifact(scope);
    const node = program(['--artifact', artifact, '--port', '0', '--workers', '1', '--log-level', 'debug']);
    const [, url] = (await node.line('ready')).split(' ');
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    await fetch(`${url}/v2`, { headers: { traceparent, 'x-request-id': 'r1' } });
    node.child.kill('SIGINT');
    expect(await node.ended).toBe(0);
    const lines = node.output.stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines).toContainEqual(
      expect.objectContaining({ requestId: 'r1', traceparent, method: 'GET', path: '/v2', status: 200 }),
    );
  });

  test('serves without a directory that takes files, and says so', async () => {
    const artifact = await tinyArtifact(scope);
    const cacheDir = join(artifact, 'manifest.json');
    const node = program(['--artifact', artifact, '--port', '0', '--workers', '1', '--cache-dir', cacheDir]);
    const [, url] = (await node.line('ready')).split(' ');
    const { body } = await inferOk(`${url}/v2/models/tiny/infer`, tinyRequest(X, TOKEN));
    expect(body.outputs[1]?.data).toEqual(tinyReference(2, X, TOKEN).label);
    expect(node.output.stderr).toContain('no directory takes files');
  });

  test.each([
    ['no artifact', [], 2, /--artifact/],
    ['an unknown option', ['--artifact', '.', '--prot', '1'], 2, /--prot/],
    ['a port that is none', ['--artifact', '.', '--port', '99999'], 2, /--port/],
    ['a directory without an artifact', ['--artifact', import.meta.dirname], 2, /no manifest\.json/],
    ['an open host without a token', ['--artifact', '.', '--host', '0.0.0.0'], 2, /NODE_TOKEN/],
    [
      'a gateway that is not there',
      ['--artifact', 'http://127.0.0.1:1/v1/artifacts/tiny/v1'],
      1,
      /127\.0\.0\.1:1/,
    ],
  ])('refuses %s in one paragraph', async (_, args, code, message) => {
    const node = program(args);
    expect(await node.ended).toBe(code);
    expect(node.output.stderr).toMatch(message);
    expect(node.output.stderr.trim().split('\n').length).toBe(1);
    expect(node.output.stdout).toBe('');
  });

  test.runIf(process.platform === 'linux')(
    'has memory that is free given back, but where its environment says how',
    async () => {
      const artifact = await tinyArtifact(scope);
      const settings = async (env: Record<string, string>) => {
        const node = program(['--artifact', artifact, '--port', '0', '--workers', '1'], env);
        await node.line('ready');
        const all = await readFile(`/proc/${node.child.pid}/environ`, 'utf8');
        return all.split('\0').filter((entry) => entry.startsWith('MALLOC_'));
      };
      const ours = Object.entries(allocatorSettings).map(([name, value]) => `${name}=${value}`);
      expect(await settings({})).toEqual(ours);
      expect(await settings({ MALLOC_ARENA_MAX: '2' })).toEqual(['MALLOC_ARENA_MAX=2']);
    },
  );

  test.runIf(process.platform === 'linux')(
    'goes before the threads on which its own code is compiled and memory is collected',
    async () => {
      const node = program(['--artifact', await tinyArtifact(scope), '--port', '0', '--workers', '1']);
      await node.line('ready');
      const tasks = `/proc/${node.child.pid}/task`;
      const threads = await Promise.all(
        (await readdir(tasks)).map(async (id) => ({
          name: (await readFile(`${tasks}/${id}/comm`, 'utf8')).trim(),
          niceness: getPriority(Number(id)),
        })),
      );
      const helpers = threads.filter(({ name }) => name === 'V8Worker');
      expect(helpers.length).toBeGreaterThan(0);
      for (const { niceness } of helpers)
        expect(niceness).toBeGreaterThan(getPriority(node.child.pid as number));
    },
  );

  test.runIf(existsSync('/dev/full'))('serves on where its log is on a disk that is full', async () => {
    const full = await open('/dev/full', 'w');
    scope.onDispose(() => full.close());
    const artifact = await tinyArtifact(scope);
    const node = program(['--artifact', artifact, '--port', '0', '--workers', '1'], {}, full.fd);
    const [, url] = (await node.line('ready')).split(' ');
    expect((await post(`${url}/v2/models/tiny/infer`, '{')).status).toBe(400);
    await inferOk(`${url}/v2/models/tiny/infer`, tinyRequest(X, TOKEN));
    node.child.kill('SIGTERM');
    expect(await node.ended).toBe(0);
  });

  test('explains itself', async () => {
    const node = program(['--help']);
    expect(await node.ended).toBe(0);
    for (const word of ['--artifact', '--workers', 'NODE_TOKEN', 'Example'])
      expect(node.output.stdout).toContain(word);
  });
});

describe('an artifact behind a gateway', () => {
  test('is awaited, fetched with the token, and exchanged for a newer version without a failed request', async () => {
    const gateway = await artifactServer(scope, 'secret');
    const node = program(['--artifact', gateway.url, '--port', '0', '--workers', '1', '--poll-ms', '20'], {
      NODE_TOKEN: 'secret',
    });
    await gateway.publish('v1', 1);
    const [, url] = (await node.line('ready')).split(' ');
    const ask = () => inferOk(`${url}/v2/models/tiny/infer`, tinyRequest(X, TOKEN));
    const first = await ask();
    expect(first.response.headers.get('x-artifact-version')).toBe('v1');
    await gateway.publish('v2', -3);
    let answer = first;
    while (answer.response.headers.get('x-artifact-version') !== 'v2') {
      answer = await ask();
      const scale = answer.response.headers.get('x-artifact-version') === 'v2' ? -3 : 1;
      for (const [i, value] of tinyReference(2, X, TOKEN, scale).logits.flat().entries())
        expect(answer.body.outputs[0]?.data[i]).toBeCloseTo(value, 4);
    }
    node.child.kill('SIGTERM');
    expect(await node.ended).toBe(0);
    expect(node.output.stderr).not.toContain('secret');
  });

  test('of a fixed version is served as such', async () => {
    const gateway = await artifactServer(scope, 'secret');
    await gateway.publish('v1', 1);
    await gateway.publish('v2', 2);
    const node = await readyNode(scope, { artifact: `${gateway.url}/v1`, token: 'secret' });
    expect(node.report().models[0]?.artifactVersion).toBe('v1');
  });

  test('that does not want our token ends the program', async () => {
    const gateway = await artifactServer(scope, 'secret');
    for (const artifact of [gateway.url, `${gateway.url}/v1`]) {
      const node = program(['--artifact', artifact, '--port', '0', '--log-level', 'silent'], {
        NODE_TOKEN: 'other',
      });
      expect(await node.ended).toBe(2);
      expect(node.output.stderr).toMatch(/401.*NODE_TOKEN/);
    }
  });
});
