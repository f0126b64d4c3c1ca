import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { createTurns, inTurn } from './turns.ts';

/** Adds 1 to a number in shared memory, slowly enough to lose additions of others where it is not alone. */
const ADDS = `
  const { parentPort, workerData } = require('node:worker_threads');
  import(workerData.module).then(async ({ inTurn }) => {
    const { turns, sum, times } = workerData;
    for (let i = 0; i < times; i++)
      await inTurn(turns, async () => {
        const before = sum[0];
        await new Promise(setImmediate);
        sum[0] = before + 1;
      });
    parentPort.postMessage('done');
  });
`;

test('threads are at it one after the other', async () => {
  const turns = createTurns();
  const sum = new Int32Array(new SharedArrayBuffer(4));
  const module = new URL('./turns.ts', import.meta.url).href;
  const workerData = { module, turns, sum, times: 200 };
  const threads = Array.from({ length: 4 }, () => new Worker(ADDS, { eval: true, workerData }));
  await Promise.all(threads.map((thread) => once(thread, 'message')));
  expect(sum[0]).toBe(800);
});

test('work that fails ends its turn', async () => {
  const turns = createTurns();
  await expect(inTurn(turns, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  await expect(inTurn(turns, async () => 1)).resolves.toBe(1);
});
