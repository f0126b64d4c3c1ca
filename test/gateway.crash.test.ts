/** What the gateway has on disk outlives a kill -9 of it, and what keys have spent stays exact. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test, vi } from 'vitest';
import { defaultPolicy } from '../schema/policy.ts';
import { secrets, send } from './support/gateway.ts';
import { disposables, temporaryDirectory } from './support/node-client.ts';

const MAIN = fileURLToPath(new URL('support/gateway-main.ts', import.meta.url));
const scope = disposables();
afterAll(() => scope.dispose());

async function start(dataDir: string) {
  // A group of its own: the runtime is killed with it, and not told to end.
  const child = spawn(process.execPath, [MAIN, dataDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    process.kill(-(child.pid as number), 'SIGKILL');
    await once(child, 'exit');
  };
  scope.onDispose(kill);
  /** As a person does it who knows one process: nothing else is told. */
  const killAlone = async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  for await (const url of createInterface({ input: child.stdout })) return { url, kill, killAlone };
  throw new Error('The gateway ended before it was ready.');
}

test('keys, policies and the ledger survive a kill -9 with requests under way', async () => {
  const dataDir = await temporaryDirectory(scope);
  const first = await start(dataDir);
  const operator = (url: string, method: string, path: string, body?: object, headers = {}) =>
    send(url, method, path, secrets.operatorToken, body === undefined ? { headers } : { body, headers });
  const rateLimit = { requests: 40, windowS: 86_400 };
  const made = await operator(first.url, 'POST', '/v1/keys', { name: 'shop', rateLimit });
  const { id, key } = (await made.json()) as { id: string; key: string };
  const etag = (await operator(first.url, 'GET', '/v1/policy')).headers.get('etag') as string;
  await operator(first.url, 'PUT', '/v1/policy', { ...defaultPolicy, reserveMs: 3 }, { 'if-match': etag });

  const ask = (url: string) => send(url, 'GET', '/v2', key).then(({ status }) => status);
  let served = 0;
  for (let i = 0; i < 10; i++) served += Number((await ask(first.url)) === 200);
  expect(served).toBe(10);
  const cutOff = Array.from({ length: 10 }, () => ask(first.url).catch(() => 0));
  await first.kill();
  const before = 10 + (await Promise.all(cutOff)).filter((status) => status === 200).length;

  const second = await start(dataDir);
  const statuses = await Promise.all(Array.from({ length: 60 }, () => ask(second.url)));
  const after = statuses.filter((status) => status === 200).length;
  expect(new Set(statuses)).toEqual(new Set([200, 429]));
  // Never over; short only by what the dead process held, which was a lease of an eighth at most and requests unheard of.
  expect(before + after).toBeLessThanOrEqual(40);
  expect(before + after).toBeGreaterThanOrEqual(40 - 5 - 20);
  const limits = await (await operator(second.url, 'GET', `/v1/keys/${id}/limits`)).json();
  expect(limits).toMatchObject({ rateLimit: { limit: 40, remaining: 0 } });
  expect(await (await operator(second.url, 'GET', '/v1/policy')).json()).toMatchObject({ reserveMs: 3 });
});

test('the runtime ends with the process that started it, so that the next one finds ports and database free', async () => {
  const { url, killAlone } = await start(await temporaryDirectory(scope));
  const live = () => send(url, 'GET', '/v2/health/live', undefined).then(({ status }) => status);
  expect(await live()).toBe(200);
  await killAlone();
  await vi.waitFor(() => expect(live()).rejects.toThrow(), { timeout: 20_000 });
});
