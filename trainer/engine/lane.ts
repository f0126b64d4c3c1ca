/** One of the places where shards of a step are computed side by side: a worker thread, or this thread. */
import type { Shard } from './shard.ts';

/** What of the model computes. */
export interface Variant {
  /** By pair; empty where the engine has no masks. */
  readonly masks: readonly Float32Array[];
  /** Units kept, by nested pair; empty where the engine is not nested. */
  readonly widths: readonly number[];
}

export interface LaneWork {
  /** Each is computed once a variant. */
  readonly shards: readonly Shard[];
  readonly variants: readonly Variant[];
  /** Compute activations twice instead of keeping them. */
  readonly recompute: boolean;
}

export interface ShardSums {
  readonly loss: number;
  /** Rows that the loss is a sum over. */
  readonly rows: number;
  /** d loss / d mask, [units] per pair; empty where they are not wanted. */
  readonly gradients: Float32Array[];
}

export interface Lane {
  /** d loss / d weight, summed over the shards and variants of the last question; in memory that this thread sees. */
  readonly weightGradients: readonly Float32Array[];
  /** The sums of each shard for the first variant, in order, then for the next one. One question at a time. */
  ask(work: LaneWork): Promise<ShardSums[]>;
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
