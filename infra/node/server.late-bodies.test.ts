/** Bodies that come after their headers have been read: held back until they are asked for, or slow. */
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import { connect } from '../../scripts/bench-node/http-exchange.ts';
import { artifactServer } from '../../test/support/node-artifact-server.ts';
import {
  disposables,
  inferOk,
  readyNode,
  temporaryDirectory,
  tinyArtifact,
  tinyRequest,
} from '../../test/support/node-client.ts';
import { tinyReference } from '../../test/support/tiny-model.ts';
import { type SpawnThread, spawnSessionThread } from './execution/asked-thread.ts';

const scope = disposables();
afterEach(() => scope.dispose());

const [X, TOKEN] = [[[0.5, -1, 2, 0.25]], [3]];
const BODY = JSON.stringify(tinyRequest(X, TOKEN));

const head = (lines: readonly string[] = [], length = BODY.length, path = '/v2/models/tiny/infer') =>
  [`POST ${path} HTTP/1.1`, 'Host: x', `Content-Length: ${length}`, ...lines, '', ''].join('\r\n');

/** A connection, and all that has come on it. */
async function line(url: string) {
  const socket = await connect(Number(new URL(url).port));
  scope.onDispose(async () => socket.destroy());
  const seen = { text: '', closed: false };
  socket.on('data', (chunk: Buffer) => {
    seen.text += chunk.toString('latin1');
  });
  socket.on('close', () => {
    seen.closed = true;
  });
  return { socket, seen };
}

describe('a body that is held back', () => {
  test('is asked for, and answered', async () => {
    const node = await readyNode(scope, { artifact: await tinyArtifact(scope) });
    const { socket, seen } = await line(node.url);
    socket.write(head(['Expect: 100-continue']));
    await expect.poll(() => seen.text).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    socket.write(BODY);
    await expect.poll(() => seen.text).toMatch(/HTTP\/1\.1 200 OK[\s\S]*"model_version":"2"/);
    // The connection is kept.
    socket.write(head() + BODY);
    await expect.poll(() => seen.text.match(/"model_version":"2"/g)?.length).toBe(2);
  });

  test.each([
    ['is too large', head(['Expect: 100-continue'], 10_000), 413],
    ['is for a model that is not here', head(['Expect: 100-continue'], 50, '/v2/models/other/infer'), 404],
    ['has a wrong header', head(['Expect: 100-continue', 'X-Latency-Budget: soon']), 400],
  ])('is never asked for where it %s', async (_, text, status) => {
    const node = await readyNode(scope, { artifact: await tinyArtifact(scope), maxBodyBytes: 1000 });
    const { socket, seen } = await line(node.url);
    socket.write(text);
    await expect.poll(() => seen.closed).toBe(true);
    expect(seen.text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  });
});

test('a body that takes longer to come than the version it began with stays is answered by the new one', async () => {
  const origin = await artifactServer(scope, 'secret');
  await origin.publish('v1', 1);
  let threadsEnded = 0;
  const spawn: SpawnThread = (data) => {
    const thread = spawnSessionThread(data);
    thread.on('exit', () => threadsEnded++);
    return thread;
  };
  const cacheDir = await temporaryDirectory(scope);
  const options = { artifact: origin.url, token: 'secret', pollMs: 20, drainMs: 50, cacheDir };
  const node = await readyNode(scope, options, { spawn });
  const { socket, seen } = await line(node.url);
  socket.write(head() + BODY.slice(0, 20));
  await origin.publish('v2', -3);
  const version = async () =>
    (await inferOk(`${node.url}/v2/models/tiny/infer`, BODY)).response.headers.get('x-artifact-version');
  await expect.poll(version, { timeout: 10_000 }).toBe('v2');
  await expect.poll(() => threadsEnded, { timeout: 20_000 }).toBe(1);
  socket.write(BODY.slice(20));
  await expect.poll(() => seen.text).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*x-artifact-version: v2/);
  const answer = JSON.parse(seen.text.slice(seen.text.indexOf('{'))) as { outputs: { data: number[] }[] };
  const wanted = tinyReference(2, X, TOKEN, -3).logits.flat();
  for (const [i, value] of wanted.entries()) expect(answer.outputs[0]?.data[i]).toBeCloseTo(value, 4);
});

describe('a body that comes too slowly, or not as one, is told, counted and logged as that', () => {
  test.each([
    ['longer than a request may take', [], BODY.slice(0, 20), 408, 'request-timeout'],
    ['longer than its budget', ['X-Latency-Budget: 200ms'], BODY.slice(0, 20), 504, 'budget-overrun'],
    ['in broken chunks', ['Transfer-Encoding: chunked'], 'zz\r\n', 400, 'bad-request'],
  ])('%s', async (_, lines, body, status, code) => {
    const logged: string[] = [];
    const log = pino({ level: 'info' }, { write: (text: string) => void logged.push(text) });
    const node = await readyNode(
      scope,
      { artifact: await tinyArtifact(scope), requestTimeoutMs: 1500 },
      { log },
    );
    const { socket, seen } = await line(node.url);
    const framed = head(lines);
    const asChunks = framed.replace(/Content-Length: \d+\r\n/, '');
    socket.write((lines.some((each) => each.startsWith('Transfer')) ? asChunks : framed) + body);
    await expect.poll(() => seen.text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} .*"code":"${code}"`, 's'));
    const counted = async () => (await (await fetch(`${node.url}/metrics`)).text()).split('\n');
    await expect.poll(counted).toContain(`spp_node_refusals_total{code="${code}"} 1`);
    expect((await counted()).join('\n')).not.toContain('client-gone');
    expect(logged.map((text) => JSON.parse(text))).toContainEqual(
      expect.objectContaining({ msg: 'request refused', path: '/v2/models/tiny/infer', status, code }),
    );
    expect(logged.join('')).not.toContain('client went away');
  });
});

test('a client that leaves in the middle of its body is told of as one that has left', async () => {
  const node = await readyNode(scope, { artifact: await tinyArtifact(scope) });
  const { socket } = await line(node.url);
  socket.write(head() + BODY.slice(0, 20));
  await (await fetch(`${node.url}/v2/health/live`)).arrayBuffer();
  socket.destroy();
  const counted = async () => (await (await fetch(`${node.url}/metrics`)).text()).split('\n');
  await expect.poll(counted).toContain('spp_node_refusals_total{code="client-gone"} 1');
});
