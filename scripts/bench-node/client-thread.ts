/**
 * A closed loop of HTTP clients: each connection sends the same prepared request again as soon as it has its answer.
 * Plain sockets and the least parsing that finds an answer's end, so that the client takes little from the server's cores.
 */
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { parentPort } from 'node:worker_threads';

export interface ClientRound {
  readonly port: number;
  readonly request: Uint8Array;
  readonly connections: number;
  readonly ms: number;
}

/** Times from sending to having the whole answer, and answers that were not 200. */
export interface ClientAnswer {
  readonly requestsMs: readonly number[];
  readonly failures: number;
  /** Until the last answer. */
  readonly tookMs: number;
}

const HEAD_END = Buffer.from('\r\n\r\n');

parentPort?.on('message', async ({ port, request, connections, ms }: ClientRound) => {
  const requestsMs: number[] = [];
  let failures = 0;
  const sockets = await Promise.all(
    Array.from({ length: connections }, async () => {
      const socket = createConnection({ port, host: '127.0.0.1', noDelay: true });
      await once(socket, 'connect');
      return socket;
    }),
  );
  const startMs = performance.now();
  const endMs = startMs + ms;
  const loop = async (socket: Socket) => {
    do {
      const begunMs = performance.now();
      const status = await exchange(socket, request);
      requestsMs.push(performance.now() - begunMs);
      if (status !== 200) failures++;
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

/** @returns the answer's status */
function exchange(socket: Socket, request: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);
    let wanted = Number.POSITIVE_INFINITY;
    const onData = (chunk: Buffer) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const head = received.indexOf(HEAD_END);
      if (wanted === Number.POSITIVE_INFINITY && head >= 0) {
        const length = /content-length: *(\d+)/i.exec(received.toString('latin1', 0, head))?.[1];
        if (length === undefined) return finish(new Error('an answer has no Content-Length'));
        wanted = head + HEAD_END.length + Number(length);
      }
      if (received.length >= wanted) finish();
    };
    const finish = (error?: Error) => {
      socket.off('data', onData).off('error', finish).off('close', onClose);
      if (error === undefined) resolve(Number(received.toString('latin1', 9, 12)));
      else reject(error);
    };
    const onClose = () => finish(new Error('the server closed a connection'));
    socket.on('data', onData).on('error', finish).on('close', onClose);
    socket.write(request);
  });
}
