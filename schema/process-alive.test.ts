import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { isAlive, isMarkAlive, processMark } from './process-alive.ts';

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

test('a mark is that of one process, whoever has its id now', () => {
  const mark = processMark();
  expect(isMarkAlive(mark)).toBe(true);
  expect(isMarkAlive(`${2 ** 30}.5`)).toBe(false);
  expect(isMarkAlive('0.5')).toBe(false);
});

test.runIf(process.platform === 'linux')('an earlier process that had the id is not alive', () => {
  const [pid, started] = processMark().split('.').map(Number);
  expect(isMarkAlive(`${pid}.${(started ?? 0) - 1}`)).toBe(false);
});
