import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { requireFreePort } from './ports.ts';
import { type Supervisor, supervise } from './supervisor.ts';

const running: Supervisor[] = [];
afterEach(async () => {
  for (const supervisor of running.splice(0)) await supervisor.stop();
});

function start(script: string, restarts = 2) {
  const lines: string[] = [];
  const supervisor = supervise({
    command: process.execPath,
    args: ['-e', script],
    env: process.env,
    log: (line) => lines.push(line),
    restarts,
    pauseMs: 1,
  });
  running.push(supervisor);
  return { supervisor, lines };
}

const STAY = 'setInterval(() => {}, 1000)';

describe('a supervised process', () => {
  test('that is killed is started again, and this is logged', async () => {
    const { supervisor, lines } = start(STAY);
    const first = supervisor.pid as number;
    process.kill(first, 'SIGKILL');
    await vi.waitFor(() => expect(supervisor.pid).not.toBe(first), { timeout: 10_000 });
    await vi.waitFor(() => expect(supervisor.pid).toBeDefined(), { timeout: 10_000 });
    expect(lines).toEqual([expect.stringContaining('SIGKILL')]);
  });

  test('that keeps failing is given up', async () => {
    const { supervisor, lines } = start('process.exit(3)');
    await vi.waitFor(() => expect(supervisor.givenUp).toBe(true), { timeout: 20_000 });
    expect(lines).toHaveLength(3);
    expect(lines.at(-1)).toContain('not started again');
  });

  test('ends when it is told to, and stays so', async () => {
    const { supervisor, lines } = start(STAY);
    const pid = supervisor.pid as number;
    await supervisor.stop();
    expect(() => process.kill(pid, 0)).toThrow();
    expect(lines).toEqual([]);
  });
});

test('a port that is taken is named with the option that changes it', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  await expect(requireFreePort(port, '--node-port')).rejects.toMatchObject({
    code: 'usage',
    message: expect.stringContaining(String(port)),
    hint: expect.stringContaining('--node-port'),
  });
  server.close();
  await once(server, 'close');
  await expect(requireFreePort(port, '--node-port')).resolves.toBeUndefined();
});
