/** Closed loops of clients before each side in turn, and what of them is told. */
import type { ClientAnswer, ClientRound } from '../bench-node/client-thread.ts';
import { median, quantileOf } from '../local/statistics.ts';
import { cpuTimeUs } from './cpu-time.ts';

export interface Target {
  readonly port: number;
  readonly request: Buffer;
  /** Of its process. */
  readonly pid: number;
}

interface Measured {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly perSecond: number;
  /** Microseconds on a core, for each request. */
  readonly cpuUs: number;
  readonly failures: number;
}

export interface Rounds {
  readonly rounds: number;
  /** Of each. */
  readonly ms: number;
  /** Between an answer and the next request. */
  readonly pauseMs: number;
}

/**
 * @param count connections
 * @returns medians over the rounds, and those of each round's ratios
 */
export async function measure(
  count: number,
  targets: Readonly<Record<string, Target>>,
  ask: (round: ClientRound) => Promise<ClientAnswer>,
  { rounds, ms, pauseMs }: Rounds,
) {
  const samples: Record<string, Measured[]> = {};
  for (let round = -1; round < rounds; round++) {
    // Each in turn goes first, so that no one always finds the machine as the same other left it.
    const names = Object.keys(targets);
    const order = names.map((_, i) => names[(i + round + names.length) % names.length] as string);
    for (const name of order) {
      const { pid, ...target } = targets[name] as Target;
      const beforeUs = cpuTimeUs(pid);
      const { requestsMs, failures } = await ask({ ...target, connections: count, ms, pauseMs });
      const cpuUs = (cpuTimeUs(pid) - beforeUs) / requestsMs.length;
      // The first round warms up.
      if (round < 0) continue;
      samples[name] = [
        ...(samples[name] ?? []),
        {
          p50Ms: median(requestsMs),
          p99Ms: quantileOf(requestsMs, 0.99),
          p999Ms: quantileOf(requestsMs, 0.999),
          perSecond: (requestsMs.length * 1000) / ms,
          cpuUs,
          failures,
        },
      ];
    }
  }
  const of = (name: string): Measured => {
    const all = samples[name] ?? [];
    return {
      p50Ms: median(all.map((s) => s.p50Ms)),
      p99Ms: median(all.map((s) => s.p99Ms)),
      p999Ms: median(all.map((s) => s.p999Ms)),
      perSecond: median(all.map((s) => s.perSecond)),
      cpuUs: median(all.map((s) => s.cpuUs)),
      failures: all.reduce((sum, s) => sum + s.failures, 0),
    };
  };
  const ratio = (name: string, to: 'bare' | 'straight', pick: (measured: Measured) => number) =>
    median((samples[name] ?? []).map((side, i) => pick(side) / pick(samples[to]?.[i] as Measured)));
  const ratios = (name: string) => ({
    p50ToBare: ratio(name, 'bare', (m) => m.p50Ms),
    throughputToBare: ratio(name, 'bare', (m) => m.perSecond),
    p50ToStraight: ratio(name, 'straight', (m) => m.p50Ms),
    throughputToStraight: ratio(name, 'straight', (m) => m.perSecond),
  });
  return {
    connections: count,
    of: Object.fromEntries(Object.keys(targets).map((name) => [name, { ...of(name), ...ratios(name) }])),
  };
}

export function report(result: Awaited<ReturnType<typeof measure>>): string {
  const rows = Object.entries(result.of).map(
    ([name, { p50Ms, p99Ms, p999Ms, perSecond, cpuUs, failures, ...to }]) =>
      [
        `  ${name.padEnd(8)} p50 ${p50Ms.toFixed(2)} ms (${to.p50ToBare.toFixed(2)} x bare, ${to.p50ToStraight.toFixed(2)} x straight)  p99 ${p99Ms.toFixed(2)} ms  p99.9 ${p999Ms.toFixed(2)} ms`,
        `${perSecond.toFixed(0)} requests/s (${to.throughputToBare.toFixed(2)}, ${to.throughputToStraight.toFixed(2)} x)`,
        // The node itself is in this process.
        ...(Number.isNaN(cpuUs) ? [] : [`${cpuUs.toFixed(0)} us of a core each`]),
        ...(failures === 0 ? [] : [`${failures} FAILED`]),
      ].join('  '),
  );
  return [`${result.connections} connections:`, ...rows, ''].join('\n');
}
