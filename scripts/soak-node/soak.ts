/**
 * Many requests of every kind, good and bad, and what they leave behind: heap and memory of the process after a tenth of them,
 * after half and after all, swept each time; and a crowd of idle connections that must not keep others out.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { startNode } from '../../infra/node/server.ts';
import { zeroInputs } from '../../infra/node/tensors.ts';
import { openArtifact } from '../../schema/artifact/store.ts';
import { connect, exchange } from '../bench-node/http-exchange.ts';
import { binaryRequest, jsonRequest } from '../bench-node/requests.ts';

export interface SoakOptions {
  readonly artifact: string;
  readonly requests: number;
  readonly idleConnections: number;
  readonly progress?: (done: number) => void;
}

export interface SoakResult {
  /** Answers by status; `gone` were given up by their client. */
  readonly answers: Readonly<Record<string, number>>;
  readonly heapMb: Growth;
  /** Of the process: node, clients and onnxruntime. */
  readonly rssMb: Growth;
  /** Connections that were held open, and the status of a request beside them. */
  readonly idle: { readonly connections: number; readonly status: number };
}

export interface Growth {
  readonly afterTenth: number;
  readonly afterHalf: number;
  readonly afterAll: number;
}

const CONNECTIONS = 32;
/** Requests that one connection sends, one after the other, before another takes its place. */
const PER_CONNECTION = 200;

export async function soak({
  artifact,
  requests,
  idleConnections,
  progress,
}: SoakOptions): Promise<SoakResult> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const { manifest } = await openArtifact(artifact);
  const node = await startNode({ artifact, port: 0, logLevel: 'silent' });
  await node.ready;
  const port = Number(new URL(node.url).port);
  const kinds = requestKinds(manifest);
  const answers: Record<string, number> = {};
  const count = (what: string) => {
    answers[what] = (answers[what] ?? 0) + 1;
  };
  let sent = 0;

  /** Sends until `limit`; a refusal that ends the connection is followed by a new one. */
  const client = async (limit: number) => {
    while (sent < limit) {
      const socket = await connect(port);
      try {
        for (let i = 0; i < PER_CONNECTION && sent < limit && !socket.closed; i++) {
          const { bytes, leaves } = kinds[sent++ % kinds.length]!;
          if (leaves) {
            socket.write(bytes);
            await new Promise((resolve) => setImmediate(resolve));
            count('gone');
            break;
          }
          const { status, head } = await exchange(socket, bytes);
          count(String(status));
          if (/^connection: close/im.test(head)) break;
        }
      } finally {
        socket.destroy();
      }
      progress?.(sent);
    }
  };
  const sweep = async () => {
    // What the last requests hold is let go by timers and sockets that end a little later.
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      collect();
    }
    const { heapUsed, rss } = process.memoryUsage();
    return { heapMb: heapUsed / 2 ** 20, rssMb: rss / 2 ** 20 };
  };
  const run = async (limit: number) => {
    await Promise.all(Array.from({ length: CONNECTIONS }, () => client(limit)));
    return sweep();
  };

  const tenth = await run(Math.ceil(requests / 10));
  const half = await run(Math.ceil(requests / 2));
  const all = await run(requests);
  const idle = await crowd(port, idleConnections, kinds[0]!.bytes);
  await node.close();
  const of = (key: 'heapMb' | 'rssMb') => ({
    afterTenth: tenth[key],
    afterHalf: half[key],
    afterAll: all[key],
  });
  return { answers, heapMb: of('heapMb'), rssMb: of('rssMb'), idle };
}

/** Good requests in both forms and at all levels, and what clients get wrong. */
function requestKinds(manifest: Awaited<ReturnType<typeof openArtifact>>['manifest']) {
  const one = zeroInputs(manifest.inputs);
  const dense = manifest.levels.length - 1;
  const budget = { 'X-Latency-Budget': '2s', 'X-Path-Min-Level': '0' };
  const good = [
    binaryRequest(manifest, one, dense),
    jsonRequest(manifest, one, 0),
    binaryRequest(manifest, zeroInputs(manifest.inputs, 3), 0),
    binaryRequest(manifest, one, dense, budget),
    jsonRequest(manifest, one, dense, { 'X-Latency-Budget': '1' }),
  ];
  const notFinite = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const notNumbers = {
    ...one,
    feeds: one.feeds.map((feed) =>
      feed.type === 'float32'
        ? { ...feed, data: new Float32Array(feed.data.length).map((_, i) => notFinite[i % 3] ?? 0) }
        : feed,
    ),
  };
  const text = (lines: readonly string[], body = '') =>
    Buffer.from(
      `${[...lines, 'Host: 127.0.0.1', `Content-Length: ${Buffer.byteLength(body)}`].join('\r\n')}\r\n\r\n${body}`,
    );
  const infer = `POST /v2/models/${manifest.model.id}/infer HTTP/1.1`;
  const bad = [
    binaryRequest(manifest, notNumbers, 0),
    text([infer], '{"inputs":'),
    text([infer], '{"inputs":[]}'),
    text([infer, 'Inference-Header-Content-Length: 999'], '{}'),
    text([infer, 'X-Latency-Budget: soon'], '{}'),
    text([infer, `X-Long: ${'x'.repeat(20_000)}`], '{}'),
    text(['GET /nowhere HTTP/1.1']),
    text(['GET /metrics HTTP/1.1']),
    text([`POST /v2/models/${manifest.model.id}/versions/999/infer HTTP/1.1`], '{}'),
  ];
  return [
    ...good,
    ...bad,
    // Half a request, or a whole one, and away.
    { bytes: good[0]!.subarray(0, 200), leaves: true },
    { bytes: good[0]!, leaves: true },
  ].map((kind) => ('leaves' in kind ? kind : { bytes: kind, leaves: false }));
}

async function crowd(port: number, connections: number, request: Uint8Array) {
  const file = fileURLToPath(new URL('./idle-crowd.ts', import.meta.url));
  const child = fork(file, [String(port), String(connections)], { execArgv: [] });
  try {
    await standing(child);
    const beside = await connect(port);
    const { status } = await exchange(beside, request);
    beside.destroy();
    child.send('count');
    return { connections: await standing(child), status };
  } finally {
    child.disconnect();
  }
}

/** @throws when the process ends instead */
async function standing(child: ChildProcess): Promise<number> {
  const stop = new AbortController();
  const { signal } = stop;
  try {
    const told = await Promise.race([
      once(child, 'message', { signal }),
      once(child, 'exit', { signal }).then(([code]) => {
        throw new Error(`the idle connections could not be held open: exit code ${code}`);
      }),
    ]);
    return (told[0] as { open: number }).open;
  } finally {
    stop.abort();
  }
}
