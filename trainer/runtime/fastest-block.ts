/** How many examples a run should take: small enough for the caches, large enough to keep a core busy. Only a trial tells. */
import type { Tensor } from '../graph/graph.ts';
import type { PooledSession } from './session-pool.ts';

export interface BlockTrial {
  readonly feeds: (examples: number) => Promise<Readonly<Record<string, Tensor>>>;
  /** The largest that fits the memory. */
  readonly most: number;
  /** Examples that will be computed in all, and by how many threads: a trial must pay. */
  readonly total: number;
  readonly threads: number;
}

const CANDIDATES = [16, 32, 64, 128, 256] as const;
/** Of all examples, what may go into the trial. */
const TRIAL_SHARE = 0.05;
/** What a larger block must gain: it costs memory. */
const GAIN = 1.02;
/** The first run at a size makes room, the second is timed. */
const RUNS = 2;

/** @returns the fastest of a few sizes, or the smallest of them where there is too little work for a trial */
export async function fastestBlock(session: PooledSession, trial: BlockTrial): Promise<number> {
  const { feeds, most, total, threads } = trial;
  const sizes: number[] = CANDIDATES.filter((size) => size <= most);
  let best = { size: Math.min(most, CANDIDATES[0]), rate: 0 };
  let spent = 0;
  for (const size of sizes) {
    spent += RUNS * size * threads;
    if (spent > TRIAL_SHARE * total) break;
    const fed = await feeds(size);
    await session.time(fed);
    const rate = size / (await session.time(fed));
    if (rate < GAIN * best.rate) break;
    best = { size, rate };
  }
  return best.size;
}
