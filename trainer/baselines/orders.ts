/** Orders of units that others prune by, to compare the inclusion's with: flat unit indices, most wanted first. */
import type { Graph } from '../graph/graph.ts';
import type { LinearMap, Pair } from '../pairs/pair.ts';
import { randomSource, shuffledRange, streams } from '../search/random.ts';
import { indexUnits, unitCosts } from '../search/units.ts';
import { readMatrix, type Weights, weightsOf } from '../weights/linear-weights.ts';

/** Uniformly random: what chance alone gives. */
export function randomOrder(pairs: readonly Pair[], seed: number): number[] {
  return shuffledRange(randomSource(seed, streams.baseline, 0), indexUnits(pairs).total);
}

/** By the product of the l2 norms of a unit's weights in the pair's linears, summed over heads, per FLOP. */
export function magnitudeOrder(graph: Graph, pairs: readonly Pair[]): number[] {
  const weights = weightsOf(graph);
  return byScorePerCost(
    pairs,
    Float64Array.from(pairs.flatMap((pair) => Array.from(magnitudes(weights, pair)))),
  );
}

/** By the Fisher diagonal per FLOP (first-order Taylor importance, Molchanov et al. 2019, squared gradients). */
export function curvatureOrder(pairs: readonly Pair[], curvature: Float64Array): number[] {
  return byScorePerCost(pairs, curvature);
}

function byScorePerCost(pairs: readonly Pair[], score: Float64Array): number[] {
  const cost = unitCosts(pairs);
  const ratio = score.map((value, j) => value / (cost[j] as number));
  return Array.from(ratio.keys()).sort((a, b) => (ratio[b] as number) - (ratio[a] as number) || a - b);
}

function magnitudes(weights: Weights, pair: Pair): Float64Array {
  const linears = [...pair.producers, ...pair.consumers];
  const norms = linears.map((linear) => columnNorms(weights, linear));
  const heads = Math.max(...linears.map((linear) => linear.weight.outer));
  const scores = new Float64Array(pair.units);
  for (let head = 0; head < heads; head++) {
    for (let unit = 0; unit < pair.units; unit++) {
      let product = 1;
      for (const [i, linear] of linears.entries()) {
        const { outer, inner } = linear.weight;
        const block = Math.floor((head * outer) / heads);
        for (let k = 0; k < inner; k++) product *= norms[i]?.[(block * pair.units + unit) * inner + k] ?? 1;
      }
      scores[unit] = (scores[unit] as number) + product;
    }
  }
  return scores;
}

function columnNorms(weights: Weights, linear: LinearMap): Float64Array {
  const { rows, cols, data } = readMatrix(weights, linear);
  const squares = new Float64Array(cols);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < cols; c++) squares[c] = (squares[c] as number) + (data[r * cols + c] as number) ** 2;
  return squares.map(Math.sqrt);
}
