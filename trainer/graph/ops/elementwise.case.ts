/** Cases of the operators that work element by element. */
import fc from 'fast-check';
import type { Tensor } from '../graph.ts';
import {
  anyShape,
  binary,
  bools,
  broadcastPair,
  compare,
  dim,
  floats,
  int,
  integerPair,
  integers,
  type OpCase,
  one,
  text,
  two,
  unary,
} from './one-node.case.ts';

/** Float32 kernels of different libraries. */
const TRIGONOMETRY = 1e-5;

function withZeros(tensor: Tensor): Tensor {
  return { ...tensor, data: Float32Array.from(tensor.data as Float32Array, (x, i) => (i % 2 === 0 ? 0 : x)) };
}

const elementwise: OpCase[] = [
  binary('Add'),
  binary('Sub'),
  binary('Mul'),
  binary('Div', 0.5, 3),
  binary('Max'),
  binary('Min'),
  {
    name: 'Pow 2',
    opType: 'Pow',
    inputs: anyShape.chain((d) =>
      fc.tuple(floats(d), fc.constant<Tensor>({ dtype: 'float32', dims: [], data: Float32Array.of(2) })),
    ),
    differentiate: [0],
  },
  {
    name: 'Pow 3',
    opType: 'Pow',
    inputs: anyShape.chain((d) =>
      fc.tuple(floats(d), fc.constant<Tensor>({ dtype: 'float32', dims: [], data: Float32Array.of(3) })),
    ),
    differentiate: [0],
  },
  { name: 'Pow of tensors', opType: 'Pow', inputs: two(0.5, 2), differentiate: [0, 1] },
  {
    name: 'Pow of zeros among others',
    opType: 'Pow',
    inputs: two(0.5, 2).map(([base, exponent]) => [withZeros(base), exponent]),
    differentiate: [1],
  },
  ...['Add', 'Sub', 'Mul', 'Div', 'Mod', 'Max', 'Min'].map((opType) => integerPair(opType)),
  integerPair('Mod', { name: 'Mod with fmod', attributes: { fmod: int(1) } }),
  {
    name: 'Mod of floats',
    opType: 'Mod',
    attributes: { fmod: int(1) },
    // The quotient is between 1.1 and 1.9: nothing jumps.
    inputs: broadcastPair.chain(([a, b]) => fc.tuple(floats(a, 1.8, 2.6), floats(b, 1.4, 1.6))),
    differentiate: [0, 1],
  },
  ...['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'].map(compare),
  ...['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'].map((opType) =>
    integerPair(opType, { outputs: ['bool'] }),
  ),
  ...['And', 'Or', 'Xor'].map(
    (opType): OpCase => ({
      name: opType,
      opType,
      inputs: broadcastPair.chain(([a, b]) => fc.tuple(bools(a), bools(b))),
      outputs: ['bool'],
    }),
  ),
  { name: 'Not', opType: 'Not', inputs: anyShape.chain((d) => fc.tuple(bools(d))), outputs: ['bool'] },
  { name: 'IsNaN', opType: 'IsNaN', inputs: anyShape.chain((d) => fc.tuple(floats(d))), outputs: ['bool'] },
  ...['Neg', 'Sin', 'Cos', 'Exp'].map((opType) => unary(opType)),
  ...['Floor', 'Ceil', 'Round', 'Sign'].map((opType) => unary(opType)),
  unary('Abs', 0.1, 3),
  unary('Sqrt', 0.5, 3),
  unary('Log', 0.5, 3),
  unary('Reciprocal', 0.5, 3),
  ...['Tan', 'Asin', 'Acos', 'Atan', 'Atanh', 'Sinh', 'Cosh', 'Asinh'].map((opType) =>
    unary(opType, 0.1, 0.9, { tolerance: TRIGONOMETRY }),
  ),
  unary('Acosh', 1.5, 3, { tolerance: TRIGONOMETRY }),
  {
    name: 'IsInf',
    opType: 'IsInf',
    attributes: { detect_negative: int(0) },
    inputs: fc.constant([
      { dtype: 'float32', dims: [4], data: Float32Array.of(1, Infinity, -Infinity, Number.NaN) },
    ]),
    outputs: ['bool'],
  },
  {
    name: 'CastLike',
    opType: 'CastLike',
    inputs: fc.tuple(floats([5]), integers([2], 0, 1)),
    outputs: ['int64'],
    constant: [],
  },
  { name: 'Dropout', opType: 'Dropout', inputs: one(), differentiate: [0] },
  {
    name: 'Where',
    opType: 'Where',
    inputs: broadcastPair.chain(([a, b]) => fc.tuple(bools(b), floats(a), floats(b))),
    differentiate: [1, 2],
  },
  {
    name: 'Clip',
    opType: 'Clip',
    inputs: anyShape.chain((d) =>
      fc.tuple(
        floats(d),
        ...[-1, 1].map((x) => fc.constant<Tensor>({ dtype: 'float32', dims: [], data: Float32Array.of(x) })),
      ),
    ),
    differentiate: [0],
  },
  { name: 'Cast to int64', opType: 'Cast', attributes: { to: int(7) }, inputs: one(), outputs: ['int64'] },
  {
    name: 'Cast to bool',
    opType: 'Cast',
    attributes: { to: int(9) },
    inputs: anyShape.chain((d) => fc.tuple(integers(d, -1, 1))),
    outputs: ['bool'],
  },
  {
    name: 'Cast from bool',
    opType: 'Cast',
    attributes: { to: int(1) },
    inputs: anyShape.chain((d) => fc.tuple(bools(d))),
  },
  {
    name: 'Sum of three',
    opType: 'Sum',
    inputs: anyShape.chain((d) => fc.tuple(floats(d), floats(d), floats(d))),
    differentiate: [0, 1, 2],
  },
  { name: 'Mean of two', opType: 'Mean', inputs: two(), differentiate: [0, 1] },
];

/** erf and tanh are good to 1.5e-7 absolute; the smallest results drawn are about 0.005. */
const ABSOLUTE = 1e-4;

const activations: OpCase[] = [
  ...['Sigmoid', 'Softplus', 'Relu', 'LeakyRelu', 'Elu', 'HardSwish', 'HardSigmoid'].map((opType) =>
    unary(opType),
  ),
  ...['Softsign', 'Selu', 'Celu', 'ThresholdedRelu', 'Shrink'].map((opType) => unary(opType, 0.6, 3)),
  ...['Selu', 'Celu', 'Shrink'].map((opType) =>
    unary(opType, -3, -0.6, { name: `${opType} below zero`, tolerance: ABSOLUTE }),
  ),
  {
    name: 'PRelu',
    opType: 'PRelu',
    inputs: fc.tuple(dim, dim).chain(([n, c]) => fc.tuple(floats([n, c]), floats([c], 0.1, 1, 0.7))),
    differentiate: [0, 1],
  },
  ...['Erf', 'Tanh', 'Mish'].map((opType) => unary(opType, -3, 3, { opset: 18, tolerance: ABSOLUTE })),
  unary('Gelu', -2, 4, { opset: 20, tolerance: ABSOLUTE }),
  unary('Gelu', -2, 4, {
    name: 'Gelu by tanh',
    opset: 20,
    attributes: { approximate: text('tanh') },
    tolerance: ABSOLUTE,
  }),
  unary('QuickGelu', -3, 3, { domain: 'com.microsoft' }),
  unary('Gelu', -2, 3, { name: 'com.microsoft.Gelu', domain: 'com.microsoft', tolerance: ABSOLUTE }),
];

export const elementwiseCases: readonly OpCase[] = [...elementwise, ...activations];
