import { once } from 'node:events';
import { getPriority } from 'node:os';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';

test.runIf(process.platform === 'linux')('a thread lets the others of its process go first', async () => {
  const module = JSON.stringify(new URL('./give-way.ts', import.meta.url).href);
  const code = `
    const { readlinkSync } = require('node:fs');
    const { parentPort } = require('node:worker_threads');
    import(${module}).then(({ giveWay }) => {
      giveWay();
      parentPort.once('message', () => {});
      parentPort.postMessage(Number(readlinkSync('/proc/thread-self').split('/').at(-1)));
    });`;
  const worker = new Worker(code, { eval: true });
  const [thread] = (await once(worker, 'message')) as [number];
  expect(getPriority(thread)).toBeGreaterThan(getPriority(process.pid));
  await worker.terminate();
});
