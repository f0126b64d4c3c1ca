/** Latency of levels on this machine, measured as a node runs them: one thread a session. */
import type { LatencyProfile } from '../../schema/manifest.ts';
import type { Tensors } from '../data/dataset.ts';
import { createOrtSession, type OrtModel } from '../runtime/ort-session.ts';
import { quantile } from '../search/inclusion.ts';

export interface LatencyRequest {
  /** Models by level. */
  readonly models: readonly (Uint8Array | OrtModel)[];
  readonly feeds: (batch: number) => Promise<Tensors>;
  readonly batches: readonly number[];
  /** Timed runs a level and batch size: at most so many, fewer where they take long. */
  readonly rounds: number;
  readonly device: string;
  readonly onProgress?: (done: number, total: number) => void;
}

const WARM_UP = 3;
/** Of all levels together, for one batch size; larger models are timed less often, but never less than this. */
const BUDGET_MS = 2500;
const LEAST_ROUNDS = 30;

/**
 * Levels take turns within a round, and every second round goes backwards: what else the machine does falls on all alike.
 * @returns profiles by level
 */
export async function measureLatency(request: LatencyRequest): Promise<LatencyProfile[][]> {
  const profiles: LatencyProfile[][] = request.models.map(() => []);
  const sessions = await Promise.all(request.models.map((model) => createOrtSession(model, { threads: 1 })));
  try {
    for (const [place, batch] of request.batches.entries()) {
      const feeds = await request.feeds(batch);
      const times: number[][] = sessions.map(() => []);
      const forward = Array.from(sessions.keys());
      const backward = [...forward].reverse();
      for (const session of sessions) for (let i = 0; i < WARM_UP; i++) await session.run(feeds);
      const until = performance.now() + BUDGET_MS;
      for (let round = 0; round < request.rounds; round++) {
        if (round >= LEAST_ROUNDS && performance.now() > until) break;
        for (const level of round % 2 === 0 ? forward : backward) {
          const start = performance.now();
          await sessions[level]?.run(feeds);
          times[level]?.push(performance.now() - start);
        }
        request.onProgress?.(place * request.rounds + round + 1, request.batches.length * request.rounds);
      }
      for (const [level, samples] of times.entries())
        profiles[level]?.push(profileOf(samples, batch, request.device));
    }
  } finally {
    await Promise.all(sessions.map((session) => session.close()));
  }
  return profiles;
}

function profileOf(samples: number[], batch: number, device: string): LatencyProfile {
  const ascending = samples.toSorted((a, b) => a - b);
  const at = (q: number) => Number(quantile(ascending, q).toFixed(4));
  return {
    device,
    threads: 1,
    batch,
    samples: samples.length,
    p50Ms: at(0.5),
    p95Ms: at(0.95),
    p99Ms: at(0.99),
  };
}
