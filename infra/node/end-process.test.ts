import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { disposables, temporaryDirectory } from '../../test/support/node-client.ts';

const MODULES = ['./end-process.ts', './execution/asked-thread.ts'].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
);

/** It has a session thread, and one with hours of work that nothing can interrupt, as a run of onnxruntime is. */
const PROGRAM = `
  const [{ endProcess }, { spawnSessionThread }] = await Promise.all(${JSON.stringify(MODULES)}.map((path) => import(path)));
  const thread = spawnSessionThread({ ep: 'cpu' });
  await new Promise((resolve) => thread.once('message', resolve));
  const { Worker } = await import('node:worker_threads');
  const busy = 'const { pbkdf2Sync } = require("node:crypto"); require("node:worker_threads").parentPort.postMessage(0); pbkdf2Sync("a", "b", 2e9, 64, "sha512");';
  await new Promise((resolve) => new Worker(busy, { eval: true }).once('message', resolve));
  setTimeout(() => endProcess(Number(process.argv[2])), 100);
`;

const scope = disposables();
afterEach(() => scope.dispose());

test.runIf(process.platform === 'linux').each([0, 1])(
  'a process whose thread is at a long run ends at once with %d',
  async (code) => {
    const path = join(await temporaryDirectory(scope), 'program.mjs');
    await writeFile(path, PROGRAM);
    const child = spawn(process.execPath, [path, String(code)], { stdio: 'inherit' });
    scope.onDispose(async () => child.kill('SIGKILL'));
    expect(await once(child, 'exit')).toEqual([code, null]);
  },
);
