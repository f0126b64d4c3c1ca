/** In a process of its own: whoever makes the first session of a process decides. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const script = `
import { Worker } from 'node:worker_threads';
import { InferenceSession } from 'onnxruntime-node';
import { flushSubnormals } from ${JSON.stringify(new URL('./flush-subnormals.ts', import.meta.url).href)};
const halved = () => Float32Array.of(2 ** -126).map((least) => least * 0.5)[0] * 2 ** 126;
const inWorker = () => new Promise((resolve) =>
  new Worker(\`require('node:worker_threads').parentPort.postMessage((\${halved})())\`, { eval: true, execArgv: [] }).on('message', resolve));
const before = [halved(), await inWorker()];
await flushSubnormals((model, options) => InferenceSession.create(model, options));
console.log(JSON.stringify([...before, halved(), await inWorker()]));
`;

test('half of the least normal number is zero then, in the thread and in those that it starts', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script]);
  expect(JSON.parse(stdout)).toEqual([0.5, 0.5, 0, 0]);
});
