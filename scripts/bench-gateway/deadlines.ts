/**
 * How late a budget's end is told: requests to a node that never answers, beside a worker in the same runtime that does
 * nothing but wait for its own timer, in turns. What the timer itself is late, and the way there and back, both have.
 */
import { connect, exchange } from '../bench-node/http-exchange.ts';
import { median, quantileOf } from '../local/statistics.ts';

export interface DeadlineSide {
  readonly port: number;
  readonly request: Uint8Array;
  /** The answer that the budget's end has. */
  readonly status: number;
  /** Sent before each measured request, so that the gateway learns of more than hung ones. */
  readonly between?: Uint8Array;
}

export interface Lateness {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

const BETWEEN = 8;

/** @returns by side, from sending to having the answer, less the budget */
export async function measureLateness(
  sides: Readonly<Record<string, DeadlineSide>>,
  budgetMs: number,
  rounds: number,
): Promise<Record<string, Lateness>> {
  const late: Record<string, number[]> = {};
  for (const name of Object.keys(sides)) late[name] = [];
  const sockets = new Map(
    await Promise.all(
      Object.entries(sides).map(async ([name, { port }]) => [name, await connect(port)] as const),
    ),
  );
  for (let round = 0; round < rounds; round++) {
    for (const [name, { request, status: wanted, between }] of Object.entries(sides)) {
      const socket = sockets.get(name);
      if (socket === undefined) continue;
      if (between !== undefined) for (let i = 0; i < BETWEEN; i++) await exchange(socket, between);
      const startMs = performance.now();
      const { status } = await exchange(socket, request);
      const tookMs = performance.now() - startMs;
      if (status !== wanted) throw new Error(`${name} answered ${status}, not ${wanted}`);
      late[name]?.push(tookMs - budgetMs);
    }
  }
  for (const socket of sockets.values()) socket.destroy();
  return Object.fromEntries(Object.entries(late).map(([name, all]) => [name, summary(all)]));
}

function summary(all: readonly number[]): Lateness {
  return { p50Ms: median(all), p99Ms: quantileOf(all, 0.99), maxMs: Math.max(...all) };
}
