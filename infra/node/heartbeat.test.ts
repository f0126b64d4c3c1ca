import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { disposables } from '../../test/support/node-client.ts';
import { startHeartbeat } from './heartbeat.ts';

const scope = disposables();
afterEach(() => scope.dispose());

/** A gateway that answers as it is told, and a node that beats. */
async function bench(answers: (count: number) => number, intervalMs = 20) {
  const got: { at: string; authorization: string | undefined; state: string }[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    got.push({
      at: `${request.method} ${request.url}`,
      authorization: request.headers.authorization,
      state: JSON.parse(body).state,
    });
    const status = answers(got.length);
    if (status === 0) return response.destroy();
    response.writeHead(status, { location: 'http://127.0.0.1:1/' });
    return response.end(JSON.stringify({ node: 'n', draining: false }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.onDispose(async () => {
    server.closeAllConnections();
    server.close();
  });
  const lines: { level: number; msg: string }[] = [];
  const log = pino({ level: 'info' }, { write: (line) => void lines.push(JSON.parse(line)) });
  const state = { now: 'starting' as 'starting' | 'ready' | 'draining' };
  const heartbeat = startHeartbeat({
    gateway: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    token: 'nd_token',
    report: () => ({
      node: 'n',
      state: state.now,
      reportedAtMs: 0,
      startedAtMs: 1,
      workers: 1,
      queueLength: 0,
      inFlight: 0,
      models: [],
    }),
    intervalMs,
    log,
  });
  scope.onDispose(() => heartbeat.goodbye());
  const count = (wanted: number) =>
    vi.waitFor(() => expect(got.length).toBeGreaterThanOrEqual(wanted), { timeout: 20_000, interval: 5 });
  return { got, lines, state, heartbeat, count, told: (msg: string) => lines.filter((l) => l.msg === msg) };
}

const NOT_HEARD = 'the gateway does not hear this node; trying again';

describe('heartbeats', () => {
  test('come again and again with the token, and say hello once', async () => {
    const { got, count, told } = await bench(() => 200);
    await count(3);
    expect(got[0]).toEqual({
      at: 'POST /v1/heartbeats',
      authorization: 'Bearer nd_token',
      state: 'starting',
    });
    expect(told('registered')).toHaveLength(1);
  });

  test('go on while the gateway is away, which is told once, and again when it is back', async () => {
    const { count, told } = await bench((n) => (n <= 8 ? ([0, 503][n % 2] ?? 503) : 200), 8);
    await vi.waitFor(() => expect(told('registered')).toHaveLength(1), { timeout: 20_000, interval: 5 });
    expect(told(NOT_HEARD).length).toBeGreaterThan(0);
    await count(10);
  });

  test.each([401, 302])('are not repeated at once when the gateway answers %d', async (status) => {
    const { count, told, got } = await bench(() => status, 50);
    await count(3);
    expect(told(NOT_HEARD)).toHaveLength(1);
    expect(told('registered')).toHaveLength(0);
    // Nothing followed the gateway elsewhere.
    expect(new Set(got.map(({ at }) => at))).toEqual(new Set(['POST /v1/heartbeats']));
  });

  test('a change is told at once, and the last one says goodbye', async () => {
    const { got, count, heartbeat, state } = await bench(() => 200, 30_000);
    await count(1);
    state.now = 'ready';
    heartbeat.beat();
    await count(2);
    state.now = 'draining';
    await heartbeat.goodbye();
    expect(got.map((beat) => beat.state)).toEqual(['starting', 'ready', 'draining']);
  });

  test('nobody waits for long to say goodbye to a gateway that is away', async () => {
    const { heartbeat, told } = await bench(() => 0, 30_000);
    await heartbeat.goodbye();
    expect(told('the gateway did not hear that this node stops')).toHaveLength(1);
  });
});
