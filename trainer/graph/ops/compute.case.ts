/** Cases of reductions, matrix products, convolutions and normalisations. */
import fc from 'fast-check';
import {
  anyShape,
  dim,
  float,
  floats,
  int,
  int64,
  integers,
  ints,
  type OpCase,
  shape,
  vector,
} from './one-node.case.ts';

const reductions: OpCase[] = [
  ...['ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceSumSquare', 'ReduceL1', 'ReduceL2'].flatMap(
    (opType): OpCase[] => [
      {
        name: opType,
        opType,
        opset: 18,
        inputs: shape(3).chain((d) => fc.tuple(floats(d, 0.1, 3), fc.constant(vector(-1)))),
        differentiate: opType.startsWith('ReduceM') && opType !== 'ReduceMean' ? [] : [0],
      },
      {
        name: `${opType} dropping dimensions`,
        opType,
        opset: 18,
        attributes: { keepdims: int(0) },
        inputs: shape(3).chain((d) => fc.tuple(floats(d, 0.1, 3), fc.constant(vector(0, 2)))),
      },
    ],
  ),
  ...['ReduceLogSum', 'ReduceLogSumExp'].map(
    (opType): OpCase => ({
      name: opType,
      opType,
      opset: 18,
      inputs: shape(3).chain((d) => fc.tuple(floats(d, 1.5, 3), fc.constant(vector(-1)))),
      differentiate: [0],
    }),
  ),
  {
    name: 'ReduceL2 of rows of which some are zero',
    opType: 'ReduceL2',
    opset: 18,
    inputs: fc
      .tuple(floats([2, 3], 0.1, 3), fc.constant(vector(1)))
      .map(([x, axes]) => [
        { ...x, dims: [4, 3], data: Float32Array.of(0, 0, 0, ...(x.data as Float32Array), 0, 0, 0) },
        axes,
      ]),
    differentiate: [0],
  },
  {
    name: 'ReduceMean 13',
    opType: 'ReduceMean',
    opset: 13,
    attributes: { axes: ints(1) },
    inputs: shape(3).chain((d) => fc.tuple(floats(d))),
    differentiate: [0],
  },
  {
    name: 'ReduceProd',
    opType: 'ReduceProd',
    opset: 18,
    inputs: shape(2).chain((d) => fc.tuple(floats(d), fc.constant(vector(1)))),
    differentiate: [0],
  },
  {
    name: 'ReduceProd with zeros',
    opType: 'ReduceProd',
    opset: 18,
    inputs: fc.constant([
      { dtype: 'float32', dims: [3, 3], data: Float32Array.of(2, 0, 3, 1, 0, 0, -1, 2, 0.5) },
      vector(-1),
    ]),
    differentiate: [0],
  },
  {
    name: 'ReduceSum of integers',
    opType: 'ReduceSum',
    inputs: shape(3).chain((d) => fc.tuple(integers(d, -9, 9), fc.constant(vector(0, 1)))),
    outputs: ['int64'],
  },
  {
    name: 'ArgMax',
    opType: 'ArgMax',
    attributes: { axis: int(1), keepdims: int(0) },
    inputs: shape(3).chain((d) => fc.tuple(floats(d))),
    outputs: ['int64'],
  },
  {
    name: 'ArgMin',
    opType: 'ArgMin',
    attributes: { axis: int(0) },
    inputs: shape(3).chain((d) => fc.tuple(floats(d))),
    outputs: ['int64'],
  },
  {
    name: 'ArgMax of integers',
    opType: 'ArgMax',
    attributes: { axis: int(-1) },
    inputs: shape(2).chain((d) => fc.tuple(integers(d, 0, 9))),
    outputs: ['int64'],
  },
  {
    name: 'CumSum',
    opType: 'CumSum',
    inputs: shape(3).chain((d) => fc.tuple(floats(d), fc.constant(int64([], 1)))),
    differentiate: [0],
  },
  {
    name: 'CumSum of integers, exclusive and reversed',
    opType: 'CumSum',
    attributes: { exclusive: int(1), reverse: int(1) },
    inputs: shape(3).chain((d) => fc.tuple(integers(d, -4, 4), fc.constant(int64([], 1)))),
    outputs: ['int64'],
  },
  {
    name: 'NonZero',
    opType: 'NonZero',
    inputs: shape(3).chain((d) => fc.tuple(integers(d, 0, 1))),
    outputs: ['int64'],
  },
];

const linear: OpCase[] = [
  {
    name: 'MatMul by a matrix',
    opType: 'MatMul',
    inputs: fc
      .tuple(anyShape, dim)
      .chain(([a, m]) => fc.tuple(floats(a.length === 1 ? [2, ...a] : a), floats([a.at(-1) as number, m]))),
    differentiate: [0, 1],
  },
  {
    name: 'MatMul of batches',
    opType: 'MatMul',
    inputs: fc
      .tuple(dim, dim, dim, dim, dim)
      .chain(([b, h, n, k, m]) => fc.tuple(floats([b, h, n, k]), floats([b, h, k, m]))),
    differentiate: [0, 1],
  },
  {
    name: 'MatMul of broadcast batches',
    opType: 'MatMul',
    inputs: fc
      .tuple(dim, dim, dim, dim, dim)
      .chain(([b, h, n, k, m]) => fc.tuple(floats([b, 1, n, k]), floats([h, k, m]))),
    differentiate: [0, 1],
  },
  {
    name: 'MatMul by a vector',
    opType: 'MatMul',
    inputs: fc.tuple(dim, dim, dim).chain(([b, n, k]) => fc.tuple(floats([b, n, k]), floats([k]))),
    differentiate: [0, 1],
  },
  {
    name: 'MatMul of a vector',
    opType: 'MatMul',
    inputs: fc.tuple(dim, dim, dim).chain(([b, k, m]) => fc.tuple(floats([k]), floats([b, k, m]))),
    differentiate: [0, 1],
  },
  {
    name: 'Gemm',
    opType: 'Gemm',
    inputs: fc
      .tuple(dim, dim, dim)
      .chain(([n, k, m]) => fc.tuple(floats([n, k]), floats([k, m]), floats([m]))),
    differentiate: [0, 1, 2],
  },
  {
    name: 'Gemm, transposed and scaled',
    opType: 'Gemm',
    attributes: { transA: int(1), transB: int(1), alpha: float(0.5), beta: float(2) },
    inputs: fc
      .tuple(dim, dim, dim)
      .chain(([n, k, m]) => fc.tuple(floats([k, n]), floats([m, k]), floats([n, 1]))),
    differentiate: [0, 1, 2],
  },
  {
    name: 'FusedMatMul',
    opType: 'FusedMatMul',
    domain: 'com.microsoft',
    attributes: { transB: int(1), alpha: float(0.25) },
    inputs: fc
      .tuple(dim, dim, dim, dim)
      .chain(([b, n, k, m]) => fc.tuple(floats([b, n, k]), floats([b, m, k]))),
    differentiate: [0, 1],
  },
];

/** A large epsilon where gradients are compared: nearly constant rows would bend too sharply for differences. */
const normalizations: OpCase[] = [
  {
    name: 'LayerNormalization with a small epsilon',
    opType: 'LayerNormalization',
    inputs: fc.tuple(dim, dim).chain(([b, s]) => fc.tuple(floats([b, s, 6]), floats([6]), floats([6]))),
    // Rows that are nearly constant are divided by their nearly vanishing deviation.
    tolerance: 1e-3,
  },
  {
    name: 'LayerNormalization',
    opType: 'LayerNormalization',
    attributes: { epsilon: float(0.1) },
    inputs: fc
      .tuple(dim, dim, fc.integer({ min: 3, max: 6 }))
      .chain(([b, s, n]) => fc.tuple(floats([b, s, n]), floats([n]), floats([n]))),
    differentiate: [0, 1, 2],
  },
  {
    name: 'LayerNormalization over two axes, no bias',
    opType: 'LayerNormalization',
    attributes: { axis: int(1), epsilon: float(0.1) },
    inputs: fc.tuple(dim, dim).chain(([b, s]) => fc.tuple(floats([b, s, 4]), floats([s, 4]))),
    differentiate: [0],
  },
  {
    name: 'SimplifiedLayerNormalization',
    opType: 'SimplifiedLayerNormalization',
    attributes: { axis: int(-1), epsilon: float(0.1) },
    inputs: fc.tuple(dim, dim).chain(([b, s]) => fc.tuple(floats([b, s, 5]), floats([5]))),
    differentiate: [0, 1],
  },
  {
    name: 'Softmax',
    opType: 'Softmax',
    inputs: anyShape.chain((d) => fc.tuple(floats(d))),
    differentiate: [0],
  },
  {
    name: 'Softmax along another axis',
    opType: 'Softmax',
    attributes: { axis: int(1) },
    inputs: shape(3).chain((d) => fc.tuple(floats(d))),
    differentiate: [0],
  },
  {
    name: 'Softmax before opset 13',
    opType: 'Softmax',
    opset: 11,
    inputs: shape(3).chain((d) => fc.tuple(floats(d))),
  },
  {
    name: 'LogSoftmax',
    opType: 'LogSoftmax',
    inputs: shape(3).chain((d) => fc.tuple(floats(d))),
    differentiate: [0],
  },
  {
    name: 'BatchNormalization',
    opType: 'BatchNormalization',
    inputs: fc
      .tuple(dim, dim)
      .chain(([n, c]) =>
        fc.tuple(floats([n, c, 3, 2]), floats([c]), floats([c]), floats([c]), floats([c], 0.5, 2)),
      ),
    differentiate: [0, 1, 2],
  },
  {
    name: 'InstanceNormalization',
    opType: 'InstanceNormalization',
    attributes: { epsilon: float(0.1) },
    inputs: fc.tuple(dim, dim).chain(([n, c]) => fc.tuple(floats([n, c, 3, 2]), floats([c]), floats([c]))),
    differentiate: [0, 1, 2],
  },
  {
    name: 'GroupNormalization',
    opType: 'GroupNormalization',
    opset: 21,
    attributes: { num_groups: int(2), epsilon: float(0.1) },
    inputs: dim.chain((n) => fc.tuple(floats([n, 4, 3, 2]), floats([4]), floats([4]))),
    differentiate: [0, 1, 2],
  },
  {
    name: 'RMSNormalization',
    opType: 'RMSNormalization',
    opset: 23,
    attributes: { axis: int(-2), epsilon: float(0.1) },
    inputs: fc.tuple(dim, dim).chain(([b, s]) => fc.tuple(floats([b, s, 5]), floats([s, 5]))),
    differentiate: [0, 1],
  },
  {
    name: 'RMSNormalization with a scale for each element',
    opType: 'RMSNormalization',
    opset: 23,
    inputs: fc.tuple(dim, dim).chain(([b, s]) => fc.tuple(floats([b, s, 5]), floats([b, s, 5]))),
    differentiate: [0, 1],
  },
  {
    name: 'LpNormalization',
    opType: 'LpNormalization',
    attributes: { axis: int(1), p: int(2) },
    inputs: fc.tuple(dim, dim).chain(([n, m]) => fc.tuple(floats([n, m, 2], 0.5, 3))),
    differentiate: [0],
  },
  {
    name: 'MeanVarianceNormalization',
    opType: 'MeanVarianceNormalization',
    inputs: fc.tuple(floats([2, 3, 2, 3])),
    differentiate: [0],
  },
  {
    name: 'GlobalAveragePool',
    opType: 'GlobalAveragePool',
    inputs: fc.tuple(dim, dim).chain(([n, c]) => fc.tuple(floats([n, c, 3, 2]))),
    differentiate: [0],
  },
];

export const computeCases: readonly OpCase[] = [...reductions, ...linear, ...normalizations];
