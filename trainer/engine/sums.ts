/** From what lanes have summed up to the losses and mean gradients of a step. Sums are added in lane order. */
import type { ShardSums } from './lane.ts';

/**
 * The mean loss of each variant.
 * @param lanes of each lane, the sums of all its shards for the first variant, then for the next one
 */
export function lossesOf(lanes: readonly (readonly ShardSums[])[], variants: number): number[] {
  return Array.from({ length: variants }, (_, variant) => {
    const own = lanes.flatMap((sums) => {
      const shards = sums.length / variants;
      return sums.slice(variant * shards, (variant + 1) * shards);
    });
    return own.reduce((total, { loss }) => total + loss, 0) / rowsOf(own);
  });
}

/**
 * Gradients of the mean loss over all rows of all variants.
 * @param weights by lane, then by weight
 * @param means what the weights' gradients are written into
 * @returns the masks' gradients, by pair
 */
export function meanGradients(
  lanes: readonly (readonly ShardSums[])[],
  weights: readonly (readonly Float32Array[])[],
  means: ReadonlyMap<string, Float32Array>,
): Float32Array[] {
  const sums = lanes.flat();
  const rows = rowsOf(sums);
  for (const [i, mean] of [...means.values()].entries())
    writeMean(
      mean,
      weights.map((lane) => lane[i] as Float32Array),
      rows,
    );
  return (sums[0]?.gradients ?? []).map((gradient, pair) => {
    const mean = new Float32Array(gradient.length);
    writeMean(
      mean,
      sums.map(({ gradients }) => gradients[pair] as Float32Array),
      rows,
    );
    return mean;
  });
}

function rowsOf(sums: readonly ShardSums[]): number {
  return sums.reduce((total, { rows }) => total + rows, 0);
}

function writeMean(mean: Float32Array, parts: readonly Float32Array[], rows: number): void {
  // The loop over parts inside the other one is slow, and there are seldom more than a few.
  const [first, second, ...more] = parts;
  if (first === undefined) return;
  if (second === undefined) for (let j = 0; j < mean.length; j++) mean[j] = (first[j] as number) / rows;
  else if (more.length === 0)
    for (let j = 0; j < mean.length; j++) mean[j] = ((first[j] as number) + (second[j] as number)) / rows;
  else
    for (let j = 0; j < mean.length; j++) {
      let total = 0;
      for (const part of parts) total += part[j] as number;
      mean[j] = total / rows;
    }
}
