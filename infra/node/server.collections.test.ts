/** What requests leave behind: nothing that all of the heap would have to be collected for, as everything waits for that. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { openArtifact } from '../../schema/artifact/store.ts';
import { connect, exchange } from '../../scripts/bench-node/http-exchange.ts';
import { binaryRequest } from '../../scripts/bench-node/requests.ts';
import { disposables, tinyArtifact } from '../../test/support/node-client.ts';
import { zeroInputs } from './tensors.ts';

const scope = disposables();
afterEach(() => scope.dispose());

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const CONNECTIONS = 32;

async function nodeProcess(artifact: string): Promise<string> {
  const child = spawn(process.execPath, [MAIN, '--artifact', artifact, '--port', '0', '--workers', '1'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  scope.onDispose(async () => {
    child.kill('SIGKILL');
    await once(child, 'close');
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /^ready (\S+)/.exec(line)?.[1];
    if (url !== undefined) return url;
  }
  throw new Error('the node ended before it was ready');
}

async function collectionsOf(url: string, kind: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^spp_node_gc_seconds_count\\{kind="${kind}"\\} (\\d+)`, 'm').exec(text)?.[1]);
}

test('thousands of requests with deadlines leave nothing that has grown old', async () => {
  const directory = await tinyArtifact(scope);
  const { manifest } = await openArtifact(directory);
  const url = await nodeProcess(directory);
  const request = binaryRequest(manifest, zeroInputs(manifest.inputs), 1, {
    'X-Latency-Budget': '5s',
    'X-Path-Min-Level': '0',
  });
  const send = async (count: number) => {
    const sockets = await Promise.all(
      Array.from({ length: CONNECTIONS }, () => connect(Number(new URL(url).port))),
    );
    let left = count;
    await Promise.all(
      sockets.map(async (socket) => {
        while (left-- > 0) expect((await exchange(socket, request)).status).toBe(200);
        socket.destroy();
      }),
    );
  };
  // Code is compiled, and tables grow to what they stay at.
  await send(4000);
  const [major, minor] = [await collectionsOf(url, 'major'), await collectionsOf(url, 'minor')];
  await send(16_000);
  expect(await collectionsOf(url, 'minor')).toBeGreaterThan(minor);
  expect(await collectionsOf(url, 'major')).toBe(major);
}, 120_000);
