/**
 * Linear maps that are not written as an activation times a matrix on its right, as exporters and people write them now and then:
 * the matrix on the left, with leading axes of length 1, or a Gemm that turns or scales. (Einsum: ../unfuse.)
 */
import { derivedTensor } from '../deferred.ts';
import { elementCount, floatAttribute, intAttribute, type Tensor } from '../graph.ts';
import { transposeMatrix } from '../linear.ts';
import { type PlainForm, transposed } from './plain-form.ts';

/** W x becomes (xᵀ Wᵀ)ᵀ; a matrix [1, ..., in, out] becomes [in, out]. */
export const matrixProduct: PlainForm = (site) => {
  const [left = '', right = ''] = site.node.inputs;
  const [a, b] = [site.constant(left), site.constant(right)];
  if (a && !b) {
    const rank = site.lengths(right)?.length ?? 0;
    const matrix = flattened(a);
    if (!matrix || rank < Math.max(2, a.dims.length)) return false;
    const turn = transposed(swapLast(rank));
    const columns = site.add('Transpose', [right], turn);
    return site.finish(
      'Transpose',
      [site.add('MatMul', [columns, site.keep(transposeMatrix(matrix))])],
      turn,
    );
  }
  const matrix = b && flattened(b);
  if (!matrix || a || b.dims.length === 2 || (site.lengths(left)?.length ?? 0) < b.dims.length) return false;
  return site.finish('MatMul', [left, site.keep(matrix)]);
};

/** alpha xᵀ W + beta b with any bias becomes x W' + b'. */
export const generalProduct: PlainForm = (site) => {
  const { node } = site;
  const [input = '', weight = '', bias = ''] = node.inputs;
  const matrix = site.constant(weight);
  const offset = site.constant(bias);
  if (matrix?.dtype !== 'float32' || site.constant(input) || (bias !== '' && !offset)) return false;
  const [alpha, beta] = [floatAttribute(node, 'alpha', 1), floatAttribute(node, 'beta', 1)];
  const turned = intAttribute(node, 'transB', 0) !== 0;
  const width = matrix.dims[turned ? 0 : 1] ?? 0;
  const plainBias = !offset || (elementCount(offset.dims) === width && offset.dims.at(-1) === width);
  const transA = intAttribute(node, 'transA', 0) !== 0;
  if (!transA && alpha === 1 && beta === 1 && plainBias) return false;
  const rows = transA ? site.add('Transpose', [input], transposed([1, 0])) : input;
  const upright = turned ? transposeMatrix(matrix) : matrix;
  const inputs = [rows, site.keep(scaled(upright, alpha))];
  if (!offset) return site.finish('MatMul', inputs);
  return site.finish('Add', [site.add('MatMul', inputs), site.keep(scaled(offset, beta))]);
};

/** A matrix with leading axes of length 1, without them. */
function flattened(tensor: Tensor): Tensor | undefined {
  const { dtype, dims } = tensor;
  if (dtype !== 'float32' || dims.length < 2 || dims.slice(0, -2).some((length) => length !== 1))
    return undefined;
  return derivedTensor(tensor, dims.slice(-2), (data) => data);
}

function swapLast(rank: number): number[] {
  return Array.from({ length: rank }, (_, axis) => axis)
    .with(-1, rank - 2)
    .with(-2, rank - 1);
}

function scaled(tensor: Tensor, factor: number): Tensor {
  if (factor === 1) return tensor;
  return derivedTensor(tensor, tensor.dims, (data) =>
    Float32Array.from(data as Float32Array, (value) => value * factor),
  );
}
