/** Takes a share of one core and does nothing with it: in a client's place beside a loop that has no client. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort } from 'node:worker_threads';

export interface BurnRound {
  /** Of one core, 0 to 1. */
  readonly share: number;
  readonly ms: number;
}

/** Processor time taken, and the time in which it was. */
export interface BurnAnswer {
  readonly cpuMs: number;
  readonly tookMs: number;
}

/** A client works in short spells as well. */
const SPELL_MS = 2;

parentPort?.on('message', async ({ share, ms }: BurnRound) => {
  const startMs = performance.now();
  const burntMs = cpuMs();
  for (let nowMs = startMs; nowMs < startMs + ms; nowMs = performance.now()) {
    while (cpuMs() - burntMs < share * (performance.now() - startMs));
    await sleep(SPELL_MS);
  }
  parentPort?.postMessage({
    cpuMs: cpuMs() - burntMs,
    tookMs: performance.now() - startMs,
  } satisfies BurnAnswer);
});
parentPort?.postMessage('ready');

/** Of this thread. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
