import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

const MODULE = join(import.meta.dirname, 'scratch-folder.ts');

let shared: string;
beforeEach(() => {
  shared = mkdtempSync(join(tmpdir(), 'scratch-test-'));
});
afterEach(() => {
  rmSync(shared, { recursive: true });
});

/** A process that makes a folder, says so, and does what follows. */
async function started(then: string): Promise<ChildProcess> {
  const script = `
    const { scratchFolder } = await import(${JSON.stringify(MODULE)});
    scratchFolder();
    process.stdout.write('made');
    ${then}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...process.env, TMPDIR: shared },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

const WAITS = 'setInterval(() => {}, 1000);';

async function ended(child: ChildProcess): Promise<NodeJS.Signals | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return child.signalCode;
}

test('a folder goes with its process, also when that is told to end', async () => {
  await ended(await started(''));
  expect(readdirSync(shared)).toEqual([]);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const child = await started(WAITS);
    expect(readdirSync(shared)).toHaveLength(1);
    child.kill(signal);
    expect(await ended(child)).toBe(signal);
    expect(readdirSync(shared)).toEqual([]);
  }
});

test('who listens for a signal decides whether the process goes on, and then keeps its folder', async () => {
  const child = await started(`process.on('SIGTERM', () => process.stdout.write('asked')); ${WAITS}`);
  child.kill('SIGTERM');
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  expect(readdirSync(shared)).toHaveLength(1);
  child.kill('SIGKILL');
  await ended(child);
});

test('what a killed process left is removed by the next one, what a living one holds is not', async () => {
  const killed = await started(WAITS);
  killed.kill('SIGKILL');
  await ended(killed);
  const [left] = readdirSync(shared);
  const living = await started(WAITS);
  const now = readdirSync(shared);
  expect(now).toHaveLength(1);
  expect(now).not.toContain(left);
  const [kept = ''] = now;
  await ended(await started(''));
  expect(readdirSync(shared)).toEqual([kept]);
  living.kill('SIGTERM');
  await ended(living);
});
