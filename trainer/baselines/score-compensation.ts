/**
 * Closed-form compensation of attention scores for cut query-key units, by pairs that are not rotated (as CORP, arXiv
 * 2602.05243): of all matrices between the kept units, M = (G_q,KK)^-1 G_q,K: G_k,:K (G_k,KK)^-1 brings q_K M k_K^T
 * nearest to q k^T where queries and keys are independent; it is folded into the query. In the whitened singular basis M is the
 * identity, which is why rotated pairs need none.
 */
import { Matrix, solve } from 'ml-matrix';
import type { LinearMap, Pair } from '../pairs/pair.ts';
import type { Moments } from '../statistics/activation-moments.ts';
import { readBias, readMatrix, type Weights, writeBias, writeMatrix } from '../weights/linear-weights.ts';

/** Changes query weights and bias in `weights`; dense shapes, kept columns only. @param damping relative to the mean diagonal */
export function compensateScores(
  weights: Weights,
  pair: Pair,
  moments: ReadonlyMap<string, Moments>,
  kept: readonly number[],
  damping: number,
): void {
  const [query, key] = pair.producers;
  if (query === undefined || key === undefined || pair.rotation === undefined) return;
  const [q, k] = [moments.get(query.output), moments.get(key.output)];
  if (q === undefined || k === undefined) return;
  const share = query.weight.outer / key.weight.outer;
  const between = Array.from({ length: query.weight.outer }, (_, head) => {
    const left = regression(q, head, pair.units, kept, damping); // [K, units]
    const right = regression(k, Math.floor(head / share), pair.units, kept, damping);
    return left.mmul(right.transpose()); // [K, K]
  });
  turn(weights, query, pair.units, kept, between);
}

/** (G_KK + damping)^-1 G_K: of one head's block. */
function regression(
  moments: Moments,
  head: number,
  units: number,
  kept: readonly number[],
  damping: number,
): Matrix {
  const at = (i: number, j: number) =>
    (moments.gram[(head * units + i) * moments.size + head * units + j] as number) / moments.count;
  const a = new Matrix(kept.map((i) => kept.map((j) => at(i, j))));
  const lift = (damping * a.trace()) / kept.length + Number.MIN_VALUE;
  const b = new Matrix(
    kept.map((i) => Array.from({ length: units }, (_, j) => at(i, j) + (i === j ? lift : 0))),
  );
  return solve(a.add(Matrix.eye(kept.length).mul(lift)), b, true);
}

function turn(
  weights: Weights,
  query: LinearMap,
  units: number,
  kept: readonly number[],
  between: readonly Matrix[],
): void {
  const columns = (rows: number, cols: number, data: Float64Array): Float64Array => {
    const out = data.slice();
    for (const [head, m] of between.entries())
      for (let r = 0; r < rows; r++)
        for (const [j, unit] of kept.entries()) {
          const from = r * cols + head * units;
          out[from + unit] = kept.reduce(
            (sum, i, row) => sum + (data[from + i] as number) * m.get(row, j),
            0,
          );
        }
    return out;
  };
  const matrix = readMatrix(weights, query);
  writeMatrix(weights, query, { ...matrix, data: columns(matrix.rows, matrix.cols, matrix.data) });
  const bias = readBias(weights, query.bias);
  if (bias !== undefined && query.bias !== undefined)
    writeBias(weights, query.bias, columns(1, bias.length, bias));
}
