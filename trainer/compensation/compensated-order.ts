/** The order of units where output matrices are refitted: how many a pair keeps is the search's, which ones is told in closed form. */
import type { Graph } from '../graph/graph.ts';
import type { LinearMap, Pair } from '../pairs/pair.ts';
import type { Moments } from '../statistics/activation-moments.ts';
import { readMatrix, weightsOf } from '../weights/linear-weights.ts';
import { eliminationOrder } from './elimination.ts';

/** The work grows with the cube of the units: this many take about a minute. */
const MOST_UNITS = 4096;

/** The activations whose moments the order reads: what enters the output matrix of each pair that is ordered in closed form. */
export function orderTensors(pairs: readonly Pair[]): string[] {
  return pairs.flatMap((pair) => solvable(pair)?.input ?? []);
}

/**
 * @param moments of every activation that `orderTensors` names
 * @param order the search's, by pair
 * @param onPair told how many pairs are done, and awaited
 * @returns by pair; as it came where units are turned (their basis has nothing left to tell of each other), share a matrix's
 *   positions, are too many, or were never seen
 */
export async function compensatedOrder(
  { graph, pairs }: { readonly graph: Graph; readonly pairs: readonly Pair[] },
  moments: ReadonlyMap<string, Moments>,
  order: readonly (readonly number[])[],
  onPair: (done: number) => Promise<void> = async () => {},
): Promise<(readonly number[])[]> {
  const weights = weightsOf(graph);
  const orders: (readonly number[])[] = [];
  for (const [p, pair] of pairs.entries()) {
    const consumer = solvable(pair);
    const statistics = consumer && moments.get(consumer.input);
    const matrix = consumer && readMatrix(weights, consumer);
    const fits = matrix !== undefined && statistics?.size === pair.units && matrix.cols === pair.units;
    // Of what no calibration example reaches, as an expert that none was sent to, nothing is known.
    const isKnown = fits && statistics.count > 0;
    orders.push(isKnown ? eliminationOrder(matrix, statistics) : (order[p] ?? []));
    await onPair(orders.length);
  }
  return orders;
}

function solvable({ kind, units, consumers }: Pair): LinearMap | undefined {
  const hidden = kind === 'sequential' || kind === 'gated';
  return hidden && units <= MOST_UNITS && consumers.length === 1 ? consumers[0] : undefined;
}
