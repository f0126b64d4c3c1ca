import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { isAlive } from './process-alive.ts';

test('a process is alive until it has ended', async () => {
  expect(isAlive(process.pid)).toBe(true);
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const { pid } = child;
  expect(isAlive(pid!)).toBe(true);
  child.stdin.end();
  await once(child, 'exit');
  expect(isAlive(pid!)).toBe(false);
});
