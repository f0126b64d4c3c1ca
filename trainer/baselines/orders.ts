/** Orders of units that others prune by, to compare the inclusion's with: flat unit indices, most wanted first. */
import type { Graph } from '../graph/graph.ts';
import type { Pair } from '../pairs/pair.ts';
import { randomSource, shuffledRange, streams } from '../search/random.ts';
import { indexUnits, unitCosts } from '../search/units.ts';
import type { Moments } from '../statistics/activation-moments.ts';
import { magnitudes, outputEnergies, relativeImportances } from './scores.ts';

/** Uniformly random: what chance alone gives. */
export function randomOrder(pairs: readonly Pair[], seed: number): number[] {
  return shuffledRange(randomSource(seed, streams.baseline, 0), indexUnits(pairs).total);
}

/** By the product of the l2 norms of a unit's weights in the pair's linears, summed over heads, per FLOP. */
export function magnitudeOrder(graph: Graph, pairs: readonly Pair[]): number[] {
  return byScorePerCost(pairs, magnitudes(graph, pairs));
}

/** By the Fisher diagonal per FLOP (first-order Taylor importance, Molchanov et al. 2019, squared gradients). */
export function curvatureOrder(pairs: readonly Pair[], curvature: Float64Array): number[] {
  return byScorePerCost(pairs, curvature);
}

/**
 * Activation times weight: relative importance times the root of the input's norm (RIA, Zhang et al., ICLR 2024, after
 * Wanda, Sun et al., ICLR 2024), summed over a unit's weights; every pair keeps the same share, as there.
 * @param moments of every linear's input
 */
export function activationWeightOrder(
  graph: Graph,
  pairs: readonly Pair[],
  moments: ReadonlyMap<string, Moments>,
): number[] {
  return equalShares(pairs, relativeImportances(graph, pairs, moments));
}

/**
 * Principal components for attention, Taylor scores for the MLP (as WPAC, arXiv 2511.11683): for a model whose attention
 * pairs are turned into principal components, in which units stand strongest first. Pairs that cannot be turned are
 * ordered by Taylor score too; every pair keeps the same share.
 */
export function principalTaylorOrder(pairs: readonly Pair[], curvature: Float64Array): number[] {
  const { offsets } = indexUnits(pairs);
  const scores = curvature.slice();
  for (const [p, { units, rotation }] of pairs.entries())
    if (rotation !== undefined)
      for (let unit = 0; unit < units; unit++) scores[(offsets[p] as number) + unit] = -unit;
  return equalShares(pairs, scores);
}

/**
 * By the energy that a unit gives to what its pair computes, every pair the same share (the ranking of one-shot methods
 * with compensation, as CORP, arXiv 2602.05243).
 * @param moments of consumers' inputs and of the outputs of query and key
 */
export function outputEnergyOrder(
  graph: Graph,
  pairs: readonly Pair[],
  moments: ReadonlyMap<string, Moments>,
): number[] {
  return equalShares(pairs, outputEnergies(graph, pairs, moments));
}

function byScorePerCost(pairs: readonly Pair[], score: Float64Array): number[] {
  const cost = unitCosts(pairs);
  return descending(score.map((value, j) => value / (cost[j] as number)));
}

/** An order whose every prefix keeps about the same share of each pair's units: by rank within the pair. */
export function equalShares(pairs: readonly Pair[], scores: Float64Array): number[] {
  const { offsets } = indexUnits(pairs);
  const rank = new Float64Array(scores.length);
  for (const [p, { units }] of pairs.entries()) {
    const from = offsets[p] as number;
    for (const [place, unit] of descending(scores.slice(from, from + units)).entries())
      rank[from + unit] = -(place + 0.5) / units;
  }
  return descending(rank);
}

/** Indices by falling score, ties by index. */
function descending(scores: Float64Array): number[] {
  return Array.from(scores.keys()).sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b);
}
