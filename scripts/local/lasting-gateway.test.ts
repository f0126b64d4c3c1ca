import { expect, test, vi } from 'vitest';
import { secrets, send } from '../../test/support/gateway.ts';
import { disposables, temporaryDirectory } from '../../test/support/node-client.ts';
import { noteChildren } from './end-with-parent.ts';
import { lastingGateway } from './lasting-gateway.ts';

/** A gateway that lasts, the process of its runtime, and what it logs. */
async function started() {
  const scope = disposables();
  const lines: string[] = [];
  const runtimes = noteChildren('workerd');
  const dataDir = await temporaryDirectory(scope);
  const gateway = await lastingGateway({ port: 0, nodes: [], ...secrets, dataDir }, (line) =>
    lines.push(line),
  );
  const [runtime] = runtimes();
  if (runtime === undefined) throw new Error('the gateway has no runtime');
  return { scope, lines, gateway, runtime: runtime.child };
}

test('a gateway whose runtime is killed comes back where it was, with what it knew', async () => {
  const { scope, lines, gateway, runtime } = await started();
  const { url } = gateway;
  const made = await send(url, 'POST', '/v1/keys', secrets.operatorToken, { body: { name: 'shop' } });
  const { key } = (await made.json()) as { key: string };
  runtime.kill('SIGKILL');
  await vi.waitFor(() => expect(lines).toEqual([expect.stringContaining('SIGKILL')]), { timeout: 20_000 });
  const asked = () => send(url, 'GET', '/v2', key).then(({ status }) => status);
  await vi.waitFor(async () => expect(await asked()).toBe(200), { timeout: 30_000, interval: 200 });
  await gateway.close();
  await expect(asked()).rejects.toThrow();
  expect(lines).toHaveLength(1);
  await scope.dispose();
}, 60_000);

test('a gateway whose runtime ends with Ctrl-C, as all of it does, is no failure to tell of', async () => {
  const { scope, lines, gateway, runtime } = await started();
  runtime.kill('SIGINT');
  await vi.waitFor(() => expect(runtime.signalCode ?? runtime.exitCode).not.toBeNull(), { interval: 1 });
  await gateway.close();
  expect(lines).toEqual([]);
  await scope.dispose();
}, 60_000);
