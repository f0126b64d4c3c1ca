/**
 * The change of basis of one head's units that makes cutting them a low-rank truncation, whitened by the calibration
 * statistics. Pure functions on float64 matrices.
 *
 * Query-key: with C the second moment of the layer's inputs, the SVD of C_q^1/2 W_q W_k^T C_k^1/2 gives the best
 * truncations of the scores. Only G_q = W_q^T C_q W_q = E[q q^T] and G_k = E[k k^T] are needed for it: with Cholesky
 * factors G = R^T R the two factors are an orthonormal basis times R_q and R_k, so the singular values are those of the
 * small matrix R_q R_k^T = U S V^T, and
 *     q <- q R_q^-1 U S^1/2,    k <- k R_k^-1 V S^1/2
 * whose product R_q^-1 (R_q R_k^T) R_k^-T = 1 keeps every score. Value-projection is the same with W_o^T in the place
 * of R_k^T: E[a a^T] of the attention-averaged values a whitens one side, the other is left as it is.
 */
import {
  CholeskyDecomposition,
  EigenvalueDecomposition,
  inverse,
  Matrix,
  SingularValueDecomposition,
} from 'ml-matrix';
import { SppError } from '../../schema/errors.ts';

/**
 * Of the mean diagonal, added to a second moment's diagonal. Whitening makes directions that carry almost nothing as large as all others, and
 * what the model's inputs beyond the calibration have in them is rounded at that size: the more lift, the less.
 */
export const LEAST_LIFT = 1e-9;

/**
 * Of the values' variance. Where the most that a head's projection makes of them is less, as of one that is still zero, values keep their size:
 * made as small as what the projection gives, they would be refitted by weights so large that no step of recovery is small enough.
 */
const LEAST_GIVEN = 1e-4;

/** Columns a row, beyond which a matrix of few rows is decomposed by its Gram matrix: minutes less for a model of gigabytes. */
const WIDE = 16;

export interface QueryKeyBasis {
  /** [dHead, dHead]; q <- q * query. */
  readonly query: Matrix;
  /** [dHead, dHead]; k <- k * key, and query * key^T = 1. */
  readonly key: Matrix;
  /** Descending. */
  readonly singularValues: readonly number[];
}

/**
 * @param queryGram E[q q^T] of one head [dHead, dHead], symmetric
 * @param keyGram E[k k^T] of the same head
 * @param lift see `LEAST_LIFT`
 */
export function queryKeyBasis(queryGram: Matrix, keyGram: Matrix, lift = LEAST_LIFT): QueryKeyBasis {
  const rq = upperFactor(queryGram, lift);
  const rk = upperFactor(keyGram, lift);
  const { u, s } = svd(rq.mmul(rk.transpose()));
  const root = Matrix.diag(s.map(safeRoot));
  const query = inverse(rq).mmul(u).mmul(root);
  // The inverse transpose rather than R_k^-1 V S^1/2: equal in exact arithmetic, and the product stays 1 for tiny s.
  const key = inverse(query).transpose();
  return { query, key, singularValues: s };
}

export interface ValueBasis {
  /** [dHead, dHead]; v <- v * value. */
  readonly value: Matrix;
  /** [dHead, dHead]; W_o <- projection * W_o, and value * projection = 1. */
  readonly projection: Matrix;
  readonly singularValues: readonly number[];
}

/**
 * @param valueGram E[a a^T] of the attention-averaged values of one head [dHead, dHead]
 * @param projection the head's rows of the output projection [dHead, dModel]
 * @param lift see `LEAST_LIFT`
 */
export function valueBasis(valueGram: Matrix, projection: Matrix, lift = LEAST_LIFT): ValueBasis {
  const r = upperFactor(valueGram, lift);
  const { u, s } = svd(r.mmul(projection));
  const roots = s.map(safeRoot);
  const variance = valueGram.trace() / valueGram.rows;
  const [most = 0] = s;
  const size = most < LEAST_GIVEN * variance ? Math.sqrt(variance) / (roots[0] ?? 1) : 1;
  const value = inverse(r)
    .mmul(u)
    .mmul(Matrix.diag(roots.map((root) => root * size)));
  return { value, projection: inverse(value), singularValues: s };
}

/** R upper triangular with R^T R = gram, lifted by as little of the mean diagonal as makes it positive definite, and at least by `least`. */
function upperFactor(gram: Matrix, least: number): Matrix {
  const n = gram.rows;
  const mean = gram.trace() / n;
  if (!Number.isFinite(mean)) {
    throw new SppError('numerical-failure', 'A second moment of the calibration activations is not finite.', {
      hint: 'Check the data and its normalisation, or build with --no-rotate.',
    });
  }
  for (let lift = least; lift <= 1; lift *= 10) {
    const lifted = gram.clone().add(Matrix.eye(n).mul(lift * Math.max(mean, 1e-30)));
    const decomposition = new CholeskyDecomposition(symmetric(lifted));
    if (decomposition.isPositiveDefinite()) return decomposition.lowerTriangularMatrix.transpose();
  }
  throw new SppError(
    'numerical-failure',
    'A second moment of the calibration activations is not positive semidefinite.',
    { hint: 'Build with --no-rotate.' },
  );
}

function symmetric(matrix: Matrix): Matrix {
  return matrix.add(matrix.transpose()).mul(0.5);
}

/** Left singular vectors and singular values, descending. */
function svd(matrix: Matrix): { u: Matrix; s: number[] } {
  if (matrix.columns > WIDE * matrix.rows) return wideSvd(matrix);
  const result = new SingularValueDecomposition(matrix, { autoTranspose: true });
  return { u: result.leftSingularVectors, s: result.diagonal };
}

/** By A A^T = U S^2 U^T: values below 1e-8 of the largest drown in rounding, but `safeRoot` raises those anyway. */
function wideSvd(matrix: Matrix): { u: Matrix; s: number[] } {
  const gram = symmetric(matrix.mmul(matrix.transpose()));
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(gram, { assumeSymmetric: true });
  const descending = realEigenvalues.map((value, i) => ({ value, i })).sort((a, b) => b.value - a.value);
  return {
    u: eigenvectorMatrix.subMatrixColumn(descending.map(({ i }) => i)),
    s: descending.map(({ value }) => Math.sqrt(Math.max(0, value))),
  };
}

/** Keeps the change of basis invertible where a direction carries nothing. */
function safeRoot(value: number, _index: number, all: readonly number[]): number {
  return Math.sqrt(Math.max(value, 1e-6 * (all[0] ?? 1), 1e-30));
}
