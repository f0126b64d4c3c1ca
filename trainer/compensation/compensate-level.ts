/** A level's weights: the dense-shaped graph whose output matrices make up for the units that the level cuts. */
import type { Graph } from '../graph/graph.ts';
import type { LinearMap, Pair } from '../pairs/pair.ts';
import type { Moments } from '../statistics/activation-moments.ts';
import {
  readBias,
  readMatrix,
  type Weights,
  weightsOf,
  writeBias,
  writeMatrix,
} from '../weights/linear-weights.ts';
import { compensate } from './ridge.ts';

/**
 * The graph with every consumer's matrix and bias compensated; columns of removed units are zero, so that masking the
 * units and cutting them out give the same.
 * @param keep kept unit indices by pair
 */
export function compensateLevel(
  graph: Graph,
  pairs: readonly Pair[],
  moments: ReadonlyMap<string, Moments>,
  keep: readonly (readonly number[])[],
  damping: number,
): Graph {
  const weights = weightsOf(graph);
  const biases = privateBiases(pairs);
  for (const [p, pair] of pairs.entries()) {
    const kept = keep[p] ?? [];
    if (kept.length === pair.units) continue;
    for (const consumer of pair.consumers) {
      const statistics = moments.get(consumer.input);
      // Of what no calibration example reaches, nothing is known.
      if (statistics !== undefined && statistics.count > 0)
        compensateConsumer(weights, consumer, pair, kept, statistics, damping, biases);
    }
  }
  return { ...graph, initializers: weights };
}

function compensateConsumer(
  weights: Weights,
  consumer: LinearMap,
  pair: Pair,
  kept: readonly number[],
  moments: Moments,
  damping: number,
  biases: ReadonlySet<string>,
): void {
  const matrix = readMatrix(weights, consumer);
  const mayChangeBias = consumer.bias !== undefined && biases.has(consumer.bias.tensor);
  const bias = mayChangeBias ? readBias(weights, consumer.bias) : undefined;
  const positions = unitPositions(consumer.weight.outer, pair.units, consumer.weight.inner, kept);
  const result = compensate({ matrix, bias }, moments, positions, damping);
  const full = new Float64Array(matrix.data.length);
  for (let row = 0; row < matrix.rows; row++) {
    for (const [i, position] of positions.entries()) {
      full[row * matrix.cols + position] = result.matrix.data[row * positions.length + i] as number;
    }
  }
  writeMatrix(weights, consumer, { ...matrix, data: full });
  if (consumer.bias !== undefined && result.bias !== undefined)
    writeBias(weights, consumer.bias, result.bias);
}

/** Places of some units along an axis laid out outer * units * inner, ascending. */
export function unitPositions(
  outer: number,
  units: number,
  inner: number,
  kept: readonly number[],
): number[] {
  const ascending = kept.toSorted((a, b) => a - b);
  return Array.from({ length: outer }, (_, o) => o).flatMap((o) =>
    ascending.flatMap((unit) => Array.from({ length: inner }, (_, i) => (o * units + unit) * inner + i)),
  );
}

/** Biases that exactly one consumer reads: changing a shared one would change another layer too. */
export function privateBiases(pairs: readonly Pair[]): Set<string> {
  const readers = new Map<string, Set<string>>();
  for (const pair of pairs) {
    for (const { bias, node } of pair.consumers) {
      if (bias) readers.set(bias.tensor, (readers.get(bias.tensor) ?? new Set()).add(node));
    }
  }
  return new Set([...readers].filter(([, nodes]) => nodes.size === 1).map(([tensor]) => tensor));
}
