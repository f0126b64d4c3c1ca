/** Matrix products. */
import { floatAttribute, type GraphNode, intAttribute } from '../../graph/graph.ts';
import type { Builder } from '../builder.ts';
import { float, int, scale, sumToShape, transposed } from '../expressions.ts';
import type { VjpRule, VjpTable } from '../rule.ts';

/** Y = A B: dA = dY B^T, dB = A^T dY, summed over batches that broadcast. */
const matMul: VjpRule['vjp'] = ({ build: b, dy, x: [left = '', right = ''] }) => {
  const [rankLeft, rankRight] = [b.dims(left).length, b.dims(right).length];
  return [
    () => toBatches(b, b.add('MatMul', [dy, transposed(b, right, rankRight)]), left, right),
    () => {
      if (rankRight > 2)
        return toBatches(b, b.add('MatMul', [transposed(b, left, rankLeft), dy]), right, left);
      // One matrix for all rows: the batches are rows too.
      const rows = flattened(b, left, b.dims(left).at(-1));
      return b.add('MatMul', [transposed(b, rows, 2), flattened(b, dy, b.dims(right)[1])]);
    },
  ];
};

/** Sums the batch axes along which `value` was repeated to meet `other`. */
function toBatches(b: Builder, gradient: string, value: string, other: string): string {
  const [own, met] = [b.dims(value), b.dims(other)];
  const rank = Math.max(own.length, met.length);
  const axes = Array.from({ length: rank - 2 }, (_, axis) => axis).filter((axis) => {
    const mine = own[axis - (rank - own.length)];
    const theirs = met[axis - (rank - met.length)];
    const repeated = axis >= rank - met.length && theirs !== 1;
    return axis < rank - own.length || (mine === 1 && repeated);
  });
  if (axes.length === 0) return gradient;
  const missing = rank - own.length;
  const summed = b.add('ReduceSum', [gradient, b.integers(axes)], {
    keepdims: int(axes.length === missing ? 0 : 1),
  });
  return axes.length === missing || missing === 0
    ? summed
    : b.add('Squeeze', [summed, b.integers(Array.from({ length: missing }, (_, axis) => axis))]);
}

/** [..., C] as [rows, C] */
function flattened(b: Builder, x: string, width: number | undefined): string {
  if (width !== undefined) return b.add('Reshape', [x, b.integers([-1, width])]);
  return b.add('Flatten', [x], { axis: int(-1) });
}

/** Y = alpha A' B' + beta C, with A' and B' perhaps transposed. */
const gemm: VjpRule['vjp'] = ({ node, build: b, dy, x: [a = '', w = '', c = ''], y }) => {
  const [transA, transB] = [intAttribute(node, 'transA', 0), intAttribute(node, 'transB', 0)];
  const product = (left: string, right: string, turnLeft: number, turnRight: number) =>
    b.add('Gemm', [left, right], {
      alpha: float(floatAttribute(node, 'alpha', 1)),
      transA: int(turnLeft),
      transB: int(turnRight),
    });
  return [
    () => (transA ? product(w, dy, transB, 1) : product(dy, w, 0, 1 - transB)),
    () => (transB ? product(dy, a, 1, transA) : product(a, dy, 1 - transA, 0)),
    () => scale(b, sumToShape(b, dy, c, y), floatAttribute(node, 'beta', 1)),
  ];
};

function unsupportedMatMul({ inputs }: GraphNode, b: Builder): string | undefined {
  return inputs.some((input) => b.dims(input).length < 2) ? 'a vector as factor' : undefined;
}

export const linearRules: VjpTable = {
  MatMul: { vjp: matMul, unsupported: unsupportedMatMul },
  Gemm: { vjp: gemm },
};
