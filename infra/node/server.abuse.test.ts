/** Senders that mean no good, or do not know better: slow, overlong, half, or many; each gets a problem or is let go. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connect } from '../../scripts/bench-node/http-exchange.ts';
import { soak } from '../../scripts/soak-node/soak.ts';
import {
  disposables,
  inferOk,
  postBytes,
  readyNode,
  tinyArtifact,
  tinyBinaryRequest,
  tinyRequest,
} from '../../test/support/node-client.ts';

const scope = disposables();
afterEach(() => scope.dispose());
let artifact: string;
beforeEach(async () => {
  artifact = await tinyArtifact(scope);
});

/** Writes raw bytes and gives back what comes until the server closes the connection. */
async function raw(port: number, text: string): Promise<{ status: number; body: Record<string, unknown> }> {
  const socket = await connect(port);
  let received = '';
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
  });
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(text);
  await closed;
  const [head = '', body = ''] = received.split('\r\n\r\n');
  return { status: Number(head.slice(9, 12)), body: JSON.parse(body) as Record<string, unknown> };
}

describe('connections', () => {
  test('that send a body too slowly are told so and closed', async () => {
    const node = await readyNode(scope, { artifact, requestTimeoutMs: 200 });
    const port = Number(new URL(node.url).port);
    const head = 'POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"inputs"';
    expect(await raw(port, head)).toMatchObject({ status: 408, body: { code: 'request-timeout' } });
    await inferOk(`${node.url}/v2/models/tiny/infer`, tinyRequest([[1, 2, 3, 4]], [0]));
  });

  test.each([
    [
      'headers without end',
      `GET /v2 HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(20_000)}\r\n\r\n`,
      431,
      'headers-too-large',
    ],
    [
      'a thousand headers',
      `GET /v2 HTTP/1.1\r\nHost: x\r\n${'X-Some-Name: some value\r\n'.repeat(1000)}\r\n`,
      431,
      'headers-too-large',
    ],
    ['what is no HTTP', '\x16\x03\x01\x02\x00\x01\x00\r\n\r\n', 400, 'bad-request'],
    [
      'two lengths',
      'POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
      400,
      'bad-request',
    ],
  ])('that send %s get a problem', async (_, text, status, code) => {
    const node = await readyNode(scope, { artifact });
    expect(await raw(Number(new URL(node.url).port), text)).toMatchObject({
      status,
      body: { status, code, error: expect.any(String) },
    });
  });
});

test('inputs that are not finite are computed, and what comes of them is told', async () => {
  const node = await readyNode(scope, { artifact });
  const { body, headerLength } = tinyBinaryRequest([[Number.NaN, Number.POSITIVE_INFINITY, -1, 0]], [0]);
  const response = await postBytes(`${node.url}/v2/models/tiny/infer`, body, String(headerLength));
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ outputs: [{ parameters: { non_finite: 3 } }, {}] });
});

test('a thousand requests of every kind and three hundred idle connections leave the node well', async () => {
  const { answers, idle } = await soak({ artifact, requests: 1000, idleConnections: 300 });
  expect(idle).toEqual({ connections: 300, status: 200 });
  expect(Object.keys(answers).toSorted()).toEqual(
    expect.arrayContaining(['200', '400', '404', '431', 'gone']),
  );
  expect(answers['500'] ?? 0).toBe(0);
  expect(Object.values(answers).reduce((sum, count) => sum + count, 0)).toBe(1000);
});
