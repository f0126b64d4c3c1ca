/**
 * A closed loop of HTTP clients: each connection sends the same prepared request again as soon as it has its answer.
 */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort } from 'node:worker_threads';
import { connect, exchange } from './http-exchange.ts';

export interface ClientRound {
  readonly port: number;
  readonly request: Uint8Array;
  readonly connections: number;
  readonly ms: number;
  /** Between an answer and the next request; none unless told. */
  readonly pauseMs?: number;
}

/** Times from sending to having the whole answer, and answers that were not 200. */
export interface ClientAnswer {
  readonly requestsMs: readonly number[];
  readonly failures: number;
  /** Until the last answer. */
  readonly tookMs: number;
}

parentPort?.on('message', async ({ port, request, connections, ms, pauseMs = 0 }: ClientRound) => {
  const requestsMs: number[] = [];
  let failures = 0;
  const sockets = await Promise.all(Array.from({ length: connections }, () => connect(port)));
  const startMs = performance.now();
  const endMs = startMs + ms;
  const loop = async (socket: Socket) => {
    do {
      const begunMs = performance.now();
      const { status } = await exchange(socket, request);
      requestsMs.push(performance.now() - begunMs);
      if (status !== 200) failures++;
      if (pauseMs > 0) await sleep(pauseMs);
    } while (performance.now() < endMs);
    socket.destroy();
  };
  await Promise.all(sockets.map(loop));
  parentPort?.postMessage({
    requestsMs,
    failures,
    tookMs: performance.now() - startMs,
  } satisfies ClientAnswer);
});
parentPort?.postMessage('ready');
