import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const GIVE_WAY = new URL('./give-way.ts', import.meta.url).href;

/** Prints how nice a process is, and how nice a thread of it that gave way. */
const PROGRAM = `
  const { getPriority } = require('node:os');
  const { Worker } = require('node:worker_threads');
  const worker = new Worker(\`
    const { readlinkSync } = require('node:fs');
    const { getPriority } = require('node:os');
    const { parentPort } = require('node:worker_threads');
    import("${GIVE_WAY}").then(({ giveWay }) => {
      giveWay();
      parentPort.postMessage(getPriority(Number(readlinkSync('/proc/thread-self').split('/').at(-1))));
    });
  \`, { eval: true });
  worker.once('message', (thread) => console.log(JSON.stringify({ process: getPriority(), thread })));`;

test.runIf(process.platform === 'linux').each([0, 7])(
  'a thread lets the others of its process go first, also in one that is %i nicer itself',
  async (nicer) => {
    const run = promisify(execFile);
    const { stdout } = await run('nice', ['-n', String(nicer), process.execPath, '-e', PROGRAM]);
    const niceness = JSON.parse(stdout) as { process: number; thread: number };
    expect(niceness.thread).toBe(Math.min(19, niceness.process + 5));
  },
);
