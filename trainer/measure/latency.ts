/** Latency of levels on this machine, measured as a node runs them: one thread a session. */
import type { LatencyProfile } from '../../schema/manifest.ts';
import type { Tensors } from '../data/dataset.ts';
import { discardModel } from '../graph/ort-model.ts';
import { createOrtSession, type OrtModel } from '../runtime/ort-session.ts';
import { quantile } from '../search/inclusion.ts';

export interface LatencyRequest {
  /** Models by level, made when they are needed. */
  readonly models: readonly (() => OrtModel)[];
  /** One level after the other, where all together would not fit into memory; otherwise they take turns. */
  readonly apart: boolean;
  readonly feeds: (batch: number) => Promise<Tensors>;
  readonly batches: readonly number[];
  /** Timed runs a level and batch size: at most so many, fewer where they take long. */
  readonly rounds: number;
  readonly device: string;
  readonly onProgress?: (done: number, total: number) => void;
}

const WARM_UP = 3;
/** Of all levels together, for one batch size; larger models are timed less often, but never less than this. */
const BUDGET_MS = 1500;
const LEAST_ROUNDS = 30;

/**
 * Levels take turns within a round, and every second round goes backwards: what else the machine does falls on all alike.
 * @returns profiles by level
 */
export async function measureLatency(request: LatencyRequest): Promise<LatencyProfile[][]> {
  const { models, apart, batches, rounds, onProgress } = request;
  const groups = apart ? models.map((model) => [model]) : [models];
  const each = batches.length * rounds;
  const profiles: LatencyProfile[][] = [];
  for (const [place, group] of groups.entries()) {
    const onRound = (done: number) => onProgress?.((place * each + done) / groups.length, each);
    profiles.push(...(await takeTurns({ ...request, models: group }, onRound)));
  }
  return profiles;
}

async function takeTurns(
  { models: makers, feeds: feedsOf, batches, rounds, device }: LatencyRequest,
  onRound: (done: number) => void,
): Promise<LatencyProfile[][]> {
  const profiles: LatencyProfile[][] = makers.map(() => []);
  const models = makers.map((make) => make());
  const sessions = await Promise.all(models.map((model) => createOrtSession(model, { threads: 1 })));
  try {
    for (const [place, batch] of batches.entries()) {
      const feeds = await feedsOf(batch);
      const times: number[][] = sessions.map(() => []);
      const forward = Array.from(sessions.keys());
      const backward = [...forward].reverse();
      for (const session of sessions) for (let i = 0; i < WARM_UP; i++) await session.run(feeds);
      const until = performance.now() + BUDGET_MS;
      for (let round = 0; round < rounds; round++) {
        if (round >= LEAST_ROUNDS && performance.now() > until) break;
        for (const level of round % 2 === 0 ? forward : backward) {
          const start = performance.now();
          await sessions[level]?.run(feeds);
          times[level]?.push(performance.now() - start);
        }
        onRound(place * rounds + round + 1);
      }
      for (const [level, samples] of times.entries())
        profiles[level]?.push(profileOf(samples, batch, device));
    }
  } finally {
    await Promise.all(sessions.map((session) => session.close()));
    for (const model of models) discardModel(model);
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
