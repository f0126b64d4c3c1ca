/** What requests leave behind: nothing that all of the heap would have to be collected for, as everything waits for that. */
import { afterEach, expect, test } from 'vitest';
import { openArtifact } from '../../schema/artifact/store.ts';
import { connect, exchange } from '../../scripts/bench-node/http-exchange.ts';
import { binaryRequest } from '../../scripts/bench-node/requests.ts';
import { disposables, tinyArtifact } from '../../test/support/node-client.ts';
import { nodeProcess } from '../../test/support/node-process.ts';
import { zeroInputs } from './tensors.ts';

const scope = disposables();
afterEach(() => scope.dispose());

const CONNECTIONS = 32;

async function collectionsOf(url: string, kind: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const [, count] = new RegExp(`^spp_node_gc_seconds_count\\{kind="${kind}"\\} (\\d+)`, 'm').exec(text) ?? [];
  if (count === undefined) throw new Error(`the node counts no ${kind} collections: ${text}`);
  return Number(count);
}

test('thousands of requests with deadlines leave nothing that has grown old', async () => {
  const directory = await tinyArtifact(scope);
  const { manifest } = await openArtifact(directory);
  const flags = ['--artifact', directory, '--port', '0', '--workers', '1'];
  const url = await nodeProcess(scope, flags, 'secret').ready;
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
  await send(60_000);
  expect(await collectionsOf(url, 'minor')).toBeGreaterThan(minor);
  expect(await collectionsOf(url, 'major')).toBe(major);
}, 120_000);
