/** Cuts a step's batch into parts that are computed apart and added up; pure, so that a run is reproducible. */
import { SppError } from '../../schema/errors.ts';
import { elementCount, type Tensor } from '../graph/graph.ts';
import type { LossTarget } from './loss.ts';

/** One part of a batch: what a worker computes sums over. */
export interface Shard {
  readonly feeds: Readonly<Record<string, Tensor>>;
  readonly loss: LossTarget;
}

/**
 * Even, contiguous parts, the first ones larger by one where the batch does not divide; no part is empty.
 * Feeds whose first dimension is not the batch go to every part whole.
 * @param batched the inputs that have a batch dimension first
 * @throws `bad-shape` when batched feeds or the loss's target disagree on the batch
 */
export function splitBatch(shard: Shard, parts: number, batched: readonly string[]): Shard[] {
  const batch = batchSize(shard, batched);
  const count = Math.max(1, Math.min(parts, batch));
  if (count === 1) return [shard];
  let from = 0;
  return Array.from({ length: count }, (_, part) => {
    const to = from + Math.floor(batch / count) + (part < batch % count ? 1 : 0);
    const feeds = Object.fromEntries(
      Object.entries(shard.feeds).map(([name, feed]) => [
        name,
        batched.includes(name) ? takeBatch(feed, from, to) : feed,
      ]),
    );
    const cut = { feeds, loss: takeTarget(shard.loss, from, to, batch) };
    from = to;
    return cut;
  });
}

/** Number of examples of a step. */
function batchSize(shard: Shard, batched: readonly string[]): number {
  const sizes = batched.flatMap((name) => shard.feeds[name]?.dims[0] ?? []);
  const [batch] = sizes;
  if (batch === undefined || batch === 0) throw new SppError('bad-shape', 'The batch is empty.');
  const { loss } = shard;
  const rows = 'teacher' in loss ? loss.teacher.dims[0] : loss.labels.length;
  if (sizes.some((size) => size !== batch) || rows === undefined || rows % batch !== 0)
    throw new SppError(
      'bad-shape',
      `Inputs of batch ${sizes.join(', ')} do not go with a target of ${rows} rows.`,
    );
  return batch;
}

function takeBatch(tensor: Tensor, from: number, to: number): Tensor {
  const width = elementCount(tensor.dims.slice(1));
  return {
    dtype: tensor.dtype,
    dims: [to - from, ...tensor.dims.slice(1)],
    data: tensor.data.slice(from * width, to * width),
  };
}

function takeTarget(loss: LossTarget, from: number, to: number, batch: number): LossTarget {
  if ('teacher' in loss) {
    const rows = (loss.teacher.dims[0] as number) / batch;
    return { ...loss, teacher: takeBatch(loss.teacher, from * rows, to * rows) };
  }
  const width = loss.labels.length / batch;
  return { ...loss, labels: loss.labels.slice(from * width, to * width) };
}
