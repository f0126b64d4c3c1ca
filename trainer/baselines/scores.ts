/** What units are worth by their weights and activations alone: flat over all units, only ratios within a pair matter. */
import { SppError } from '../../schema/errors.ts';
import type { Graph } from '../graph/graph.ts';
import type { LinearMap, Pair } from '../pairs/pair.ts';
import type { Moments } from '../statistics/activation-moments.ts';
import { readMatrix, type Weights, weightsOf } from '../weights/linear-weights.ts';

/** Product of the l2 norms of a unit's weights in the pair's linears, summed over heads. */
export function magnitudes(graph: Graph, pairs: readonly Pair[]): Float64Array {
  const weights = weightsOf(graph);
  return overPairs(pairs, (pair) =>
    headProducts(
      pair,
      linearsOf(pair).map((linear) => ({
        linear,
        values: columnSums(weights, linear, square).map(Math.sqrt),
      })),
    ),
  );
}

/**
 * Sum over a unit's weights of (|W_io| / sum_i |W_io| + |W_io| / sum_o |W_io|) * norm(x_i)^(1/2), i inputs, o outputs.
 * @param moments of every linear's input
 */
export function relativeImportances(
  graph: Graph,
  pairs: readonly Pair[],
  moments: ReadonlyMap<string, Moments>,
): Float64Array {
  const weights = weightsOf(graph);
  return overPairs(pairs, (pair) => {
    const total = new Float64Array(pair.units);
    for (const linear of linearsOf(pair)) {
      const { rows, cols, data } = readMatrix(weights, linear);
      const byColumn = columnSums(weights, linear, Math.abs);
      const byRow = Float64Array.from({ length: rows }, (_, r) =>
        data.subarray(r * cols, (r + 1) * cols).reduce((sum, w) => sum + Math.abs(w), 0),
      );
      const norms = secondMoments(moments, linear.input).map((m) => m ** 0.25);
      const consumes = pair.consumers.includes(linear);
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < cols; c++) {
          const size = Math.abs(data[r * cols + c] as number);
          const relative = ratio(size, byColumn[c] as number) + ratio(size, byRow[r] as number);
          const unit = Math.floor(c / linear.weight.inner) % pair.units;
          total[unit] = (total[unit] as number) + relative * (norms[consumes ? c : r] as number);
        }
      }
    }
    return total;
  });
}

/**
 * E[u_j^2] |W_j|^2 summed over heads and consumers; for query-key E[q_j^2] E[k_j^2] summed over heads.
 * @param moments of consumers' inputs and of the outputs of query and key
 */
export function outputEnergies(
  graph: Graph,
  pairs: readonly Pair[],
  moments: ReadonlyMap<string, Moments>,
): Float64Array {
  const weights = weightsOf(graph);
  return overPairs(pairs, (pair) => {
    if (pair.consumers.length === 0)
      return headProducts(
        pair,
        pair.producers.map((linear) => ({ linear, values: secondMoments(moments, linear.output) })),
      );
    const total = new Float64Array(pair.units);
    for (const linear of pair.consumers) {
      const energy = secondMoments(moments, linear.input);
      const norms = columnSums(weights, linear, square);
      for (const [c, norm] of norms.entries()) {
        const unit = Math.floor(c / linear.weight.inner) % pair.units;
        total[unit] = (total[unit] as number) + norm * (energy[c] as number);
      }
    }
    return total;
  });
}

function overPairs(pairs: readonly Pair[], scores: (pair: Pair) => Float64Array): Float64Array {
  return Float64Array.from(pairs.flatMap((pair) => Array.from(scores(pair))));
}

function linearsOf(pair: Pair): readonly LinearMap[] {
  return [...pair.producers, ...pair.consumers];
}

/** Values by unit column multiplied across linears, head by head (query heads share key heads), and summed over heads. */
function headProducts(
  pair: Pair,
  factors: readonly { readonly linear: LinearMap; readonly values: Float64Array }[],
): Float64Array {
  const heads = Math.max(...factors.map(({ linear }) => linear.weight.outer));
  const scores = new Float64Array(pair.units);
  for (let head = 0; head < heads; head++) {
    for (let unit = 0; unit < pair.units; unit++) {
      let product = 1;
      for (const { linear, values } of factors) {
        const { outer, inner } = linear.weight;
        const block = Math.floor((head * outer) / heads);
        for (let k = 0; k < inner; k++) product *= values[(block * pair.units + unit) * inner + k] ?? 1;
      }
      scores[unit] = (scores[unit] as number) + product;
    }
  }
  return scores;
}

function columnSums(weights: Weights, linear: LinearMap, of: (weight: number) => number): Float64Array {
  const { rows, cols, data } = readMatrix(weights, linear);
  const sums = new Float64Array(cols);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < cols; c++) sums[c] = (sums[c] as number) + of(data[r * cols + c] as number);
  return sums;
}

function secondMoments(moments: ReadonlyMap<string, Moments>, tensor: string): Float64Array {
  const found = moments.get(tensor);
  if (found === undefined) throw new SppError('internal', `The moments of ${tensor} were not measured.`);
  const { size, count, gram } = found;
  return Float64Array.from({ length: size }, (_, i) => (gram[i * size + i] as number) / Math.max(1, count));
}

const square = (x: number) => x * x;
const ratio = (part: number, whole: number) => (whole === 0 ? 0 : part / whole);
