/**
 * An inference node in a thread of its own that answers at once, so that what is measured is what stands before it. A body
 * that says so is never answered.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parentPort } from 'node:worker_threads';
import type { NodeReport } from '../../schema/node-report.ts';

const HANG = '"id":"hang"';
const profile = { device: 'cpu', threads: 1, batch: 1, samples: 100, p50Ms: 0.1, p95Ms: 0.2, p99Ms: 0.3 };
const report: NodeReport = {
  node: 'stub',
  state: 'ready',
  reportedAtMs: 0,
  workers: 256,
  queueLength: 0,
  inFlight: 0,
  models: [
    {
      model: 'bench',
      artifactVersion: 'v1',
      levels: [0, 1, 2, 3].map((level) => ({ level, resident: true, profiles: [profile] })),
    },
  ],
};
const answer = JSON.stringify({
  model_name: 'bench',
  model_version: '3',
  outputs: [
    { name: 'logits', datatype: 'FP32', shape: [1, 10], data: Array.from({ length: 10 }, (_, i) => i / 7) },
  ],
});
const headers = {
  'content-type': 'application/json',
  'server-timing': 'queue;dur=0, execute;dur=0.1',
  'x-artifact-version': 'v1',
};

const server = createServer((request, response) => {
  let hangs = false;
  request.on('data', (chunk: Buffer) => {
    hangs ||= chunk.includes(HANG);
  });
  request.on('end', () => {
    if (hangs) return;
    const body = request.method === 'GET' ? JSON.stringify(report) : answer;
    response.writeHead(200, { ...headers, 'content-length': Buffer.byteLength(body) });
    response.end(body);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => parentPort?.postMessage((server.address() as AddressInfo).port));
