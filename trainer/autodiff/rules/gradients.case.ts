/** Cases that only gradients need: the operators' own tables do not differentiate these. */
import fc from 'fast-check';
import { floats, int, type OpCase, one, shape, text, vector } from '../../graph/ops/one-node.case.ts';

/** Entries that are nowhere near each other, so that the largest stays the largest. */
const distinct = shape(3).map((dims) => {
  const count = dims.reduce((a, b) => a * b, 1);
  const data = Float32Array.from({ length: count }, (_, i) => ((i * 37) % (2 * count + 1)) / 8 + i / 100);
  return { dtype: 'float32', dims, data } as const;
});

export const gradientCases: readonly OpCase[] = [
  { name: 'Cast to float', opType: 'Cast', attributes: { to: int(1) }, inputs: one(), differentiate: [0] },
  {
    name: 'CastLike of floats',
    opType: 'CastLike',
    inputs: fc.tuple(floats([5]), floats([2])),
    differentiate: [0],
  },
  {
    name: 'Gelu of opset 20, tanh form',
    opType: 'Gelu',
    opset: 20,
    attributes: { approximate: text('tanh') },
    inputs: one(),
    differentiate: [0],
  },
  {
    name: 'RMSNormalization',
    opType: 'RMSNormalization',
    opset: 23,
    inputs: shape(3).chain((d) => fc.tuple(floats(d, 0.5, 3), floats([d[2] as number]))),
    differentiate: [0, 1],
  },
  ...['ReduceMax', 'ReduceMin', 'ReduceLogSumExp'].map(
    (opType): OpCase => ({
      name: opType,
      opType,
      opset: 18,
      inputs: distinct.map((tensor) => [tensor, vector(0, 2)]),
      differentiate: [0],
    }),
  ),
  ...['ReduceSum', 'ReduceMean', 'ReduceL2'].map(
    (opType): OpCase => ({
      name: `${opType} dropping dimensions`,
      opType,
      opset: 18,
      attributes: { keepdims: int(0) },
      inputs: shape(3).chain((d) => fc.tuple(floats(d, 0.1, 3), fc.constant(vector(0, 2)))),
      differentiate: [0],
    }),
  ),
  ...[0, 1].map(
    (largest): OpCase => ({
      name: `TopK, ${largest ? 'the largest' : 'the smallest'}`,
      opType: 'TopK',
      attributes: { axis: int(1), largest: int(largest) },
      inputs: distinct.map((tensor) => [tensor, vector(1)]),
      outputs: ['float32', 'int64'],
      differentiate: [0],
    }),
  ),
];
