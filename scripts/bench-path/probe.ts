/**
 * A linear classifier on embeddings: ridge regression of ±1 on (unit vector, 1). It is fitted once on the dense model's embeddings and then
 * given a level's, as whoever serves several levels to one downstream classifier would.
 */
import { dampedSolve } from '../../trainer/compensation/damped-solve.ts';
import type { Tensor } from '../../trainer/graph/graph.ts';

/** Of the mean of the Gram matrix' diagonal. */
const DAMPINGS = [1e-3, 1e-2, 1e-1, 1] as const;
/** Every so many-th row validates. */
const VALIDATES = 4;

/** One weight an entry of the embedding, and the constant's. */
export type Probe = Float64Array;

/**
 * The probe with the damping that classifies best on a quarter of the rows, which its fit has not seen.
 * @param embeddings [rows, size] @param labels 0 or 1, one a row
 */
export function fitProbe(embeddings: Tensor, labels: Int32Array): Probe {
  const validating = (row: number) => row % VALIDATES === VALIDATES - 1;
  let [best, most] = [DAMPINGS[0] as number, -1];
  for (const damping of DAMPINGS) {
    const probe = solved(embeddings, labels, damping, (row) => !validating(row));
    const hits = hitsOf(probe, embeddings, labels).filter((_, row) => validating(row));
    const right = hits.filter((hit) => hit).length;
    if (right > most) [best, most] = [damping, right];
  }
  return solved(embeddings, labels, best, () => true);
}

/** Whether each row is put on its label's side. */
export function hitsOf(probe: Probe, embeddings: Tensor, labels: Int32Array): boolean[] {
  return Array.from(labels, (label, row) => {
    const score = rowOf(embeddings, row).reduce((sum, x, i) => sum + x * (probe[i] as number), 0);
    return score > 0 === (label === 1);
  });
}

function solved(
  embeddings: Tensor,
  labels: Int32Array,
  damping: number,
  takes: (row: number) => boolean,
): Probe {
  const n = (embeddings.dims.at(-1) ?? 0) + 1;
  const gram = new Float64Array(n * n);
  const cross = new Float64Array(n);
  for (const [row, label] of labels.entries()) {
    if (!takes(row)) continue;
    const x = rowOf(embeddings, row);
    for (let i = 0; i < n; i++) {
      cross[i] = (cross[i] as number) + (x[i] as number) * (label === 1 ? 1 : -1);
      for (let j = 0; j <= i; j++)
        gram[i * n + j] = (gram[i * n + j] as number) + (x[i] as number) * (x[j] as number);
    }
  }
  let trace = 0;
  for (let i = 0; i + 1 < n; i++) trace += gram[i * n + i] as number;
  return dampedSolve(gram, cross, n, (damping * trace) / Math.max(1, n - 1), n - 1);
}

/** A row and the constant 1. */
function rowOf({ data, dims }: Tensor, row: number): number[] {
  const size = dims.at(-1) ?? 0;
  return [...(data as Float32Array).subarray(row * size, (row + 1) * size), 1];
}
