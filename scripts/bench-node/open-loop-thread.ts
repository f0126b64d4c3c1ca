/** Clients that send when it is time, whether or not earlier answers have come: load does not wait for the server. */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort } from 'node:worker_threads';
import { connect, exchange } from './http-exchange.ts';

export interface OpenLoopRound {
  readonly port: number;
  /** Kinds of requests. */
  readonly requests: readonly Uint8Array[];
  /** When to send, in ms from the start, ascending, and which kind. */
  readonly schedule: readonly { readonly atMs: number; readonly kind: number }[];
}

export interface OpenLoopAnswer {
  /** In the order of the schedule. Times from when it was due; status 0 where the connection failed. */
  readonly outcomes: readonly { readonly ms: number; readonly status: number; readonly level: number }[];
}

/** By port; kept from round to round, as clients keep them, so that no round begins with setting up dozens at once. */
const connections = new Map<number, Idle[]>();

interface Idle {
  readonly socket: Socket;
  readonly sinceMs: number;
}

/** Servers close what has been idle for some seconds, and may do so just when something is sent. */
const LONGEST_IDLE_MS = 3000;

/** Of those that are idle the one used last: if that is too old, all are. */
async function connection(port: number, idle: Idle[]): Promise<Socket> {
  const last = idle.pop();
  if (last === undefined) return connect(port);
  if (!last.socket.closed && performance.now() - last.sinceMs < LONGEST_IDLE_MS) return last.socket;
  for (const { socket } of [last, ...idle.splice(0)]) socket.destroy();
  return connect(port);
}

parentPort?.on('message', async ({ port, requests, schedule }: OpenLoopRound) => {
  const idle = connections.get(port) ?? [];
  connections.set(port, idle);
  const outcomes: { ms: number; status: number; level: number }[] = [];
  const startMs = performance.now();
  const send = async (index: number, dueMs: number, request: Uint8Array) => {
    let status = 0;
    let level = -1;
    try {
      const socket = await connection(port, idle);
      const answer = await exchange(socket, request);
      status = answer.status;
      level = Number(/^x-path-level: *(\d+)/im.exec(answer.head)?.[1] ?? -1);
      idle.push({ socket, sinceMs: performance.now() });
    } catch {
      // Counted as a failure: what was sent got no answer.
    }
    outcomes[index] = { ms: performance.now() - dueMs, status, level };
  };
  const sent: Promise<void>[] = [];
  for (const [index, { atMs, kind }] of schedule.entries()) {
    const dueMs = startMs + atMs;
    const aheadMs = dueMs - performance.now();
    if (aheadMs > 1) await sleep(aheadMs - 0.5);
    sent.push(send(index, dueMs, requests[kind] ?? new Uint8Array(0)));
  }
  await Promise.all(sent);
  parentPort?.postMessage({ outcomes } satisfies OpenLoopAnswer);
});
parentPort?.postMessage('ready');
