/** One of the places where shards of a step are computed side by side: a worker thread, or this thread. */
import type { ShardSums } from './mask-program.ts';
import type { Shard } from './shard.ts';

export interface Lane {
  /** The sums of each shard, in order. One question at a time. */
  ask(work: { shards: readonly Shard[]; masks: readonly Float32Array[] }): Promise<ShardSums[]>;
  close(): Promise<void>;
}

/** Starts all lanes; when one fails, the others are closed and its error is thrown. */
export async function startLanes(count: number, start: () => Promise<Lane>): Promise<Lane[]> {
  const started = await Promise.allSettled(Array.from({ length: count }, start));
  const lanes = started.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const failed = started.find((outcome) => outcome.status === 'rejected');
  if (failed === undefined) return lanes;
  await Promise.all(lanes.map((lane) => lane.close()));
  throw failed.reason;
}
