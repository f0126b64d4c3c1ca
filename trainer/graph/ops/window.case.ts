/** Cases of pooling, resizing, padding, blocks, and of operators that pick, write and order. */
import fc from 'fast-check';
import type { Attribute } from '../graph.ts';
import {
  bools,
  dim,
  floats,
  int,
  int64,
  integers,
  ints,
  type OpCase,
  shape,
  text,
  vector,
} from './one-node.case.ts';

type Attributes = Readonly<Record<string, Attribute>>;

const onImage = (
  name: string,
  opType: string,
  dims: number[],
  attributes: Attributes,
  extra: Partial<OpCase> = {},
): OpCase => ({
  name,
  opType,
  attributes,
  inputs: distinct(dims).map((x) => [x]),
  differentiate: [0],
  ...extra,
});

/** Floats that are nowhere equal, further apart than the step of central differences. */
function distinct(dims: readonly number[]) {
  const count = dims.reduce((a, b) => a * b, 1);
  return fc
    .shuffledSubarray(
      Array.from({ length: count }, (_, i) => i),
      { minLength: count, maxLength: count },
    )
    .map((order) => ({
      dtype: 'float32' as const,
      dims,
      data: Float32Array.from(order, (i) => (i - count / 2 + 0.3) / 16),
    }));
}

const pooling: OpCase[] = [
  onImage('MaxPool', 'MaxPool', [2, 3, 6, 7], {
    kernel_shape: ints(3, 2),
    strides: ints(2, 1),
    pads: ints(1, 0, 1, 1),
  }),
  onImage('MaxPool, dilated, rounding up', 'MaxPool', [1, 2, 9, 8], {
    kernel_shape: ints(2, 2),
    dilations: ints(2, 3),
    strides: ints(3, 2),
    ceil_mode: int(1),
  }),
  onImage(
    'MaxPool with positions',
    'MaxPool',
    [2, 2, 5, 5],
    { kernel_shape: ints(2, 2) },
    { outputs: ['float32', 'int64'], differentiate: [] },
  ),
  onImage('MaxPool of one axis', 'MaxPool', [2, 2, 7], {
    kernel_shape: ints(3),
    auto_pad: text('SAME_UPPER'),
  }),
  onImage('AveragePool', 'AveragePool', [2, 3, 6, 7], {
    kernel_shape: ints(3, 2),
    strides: ints(2, 2),
    pads: ints(1, 1, 1, 0),
  }),
  onImage('AveragePool with its padding', 'AveragePool', [1, 2, 5, 6], {
    kernel_shape: ints(3, 3),
    pads: ints(1, 1, 1, 1),
    count_include_pad: int(1),
  }),
  onImage('AveragePool, rounding up', 'AveragePool', [1, 2, 6, 7], {
    kernel_shape: ints(3, 2),
    strides: ints(2, 2),
    pads: ints(0, 1, 0, 0),
    ceil_mode: int(1),
  }),
  onImage('AveragePool, same size', 'AveragePool', [2, 1, 5, 6], {
    kernel_shape: ints(2, 3),
    strides: ints(2, 1),
    auto_pad: text('SAME_LOWER'),
  }),
  onImage('AveragePool of three axes', 'AveragePool', [1, 2, 4, 3, 4], {
    kernel_shape: ints(2, 2, 2),
    strides: ints(2, 1, 2),
  }),
  onImage('LpPool', 'LpPool', [1, 2, 5, 6], { kernel_shape: ints(2, 2), p: int(2) }, { opset: 18 }),
  onImage(
    'LpPool of the third power',
    'LpPool',
    [1, 2, 5],
    { kernel_shape: ints(3), strides: ints(2), p: int(3) },
    { opset: 18 },
  ),
  onImage('GlobalMaxPool', 'GlobalMaxPool', [2, 3, 4, 2], {}),
  onImage('DepthToSpace', 'DepthToSpace', [2, 8, 2, 3], { blocksize: int(2), mode: text('CRD') }),
  onImage('DepthToSpace, depth first', 'DepthToSpace', [2, 8, 2, 3], { blocksize: int(2) }),
  onImage('SpaceToDepth', 'SpaceToDepth', [2, 2, 4, 6], { blocksize: int(2) }),
];

const scaled = (name: string, scales: number[], attributes: Attributes): OpCase => ({
  name: `Resize, ${name}`,
  opType: 'Resize',
  opset: 18,
  attributes,
  inputs: floats([2, 3, 5, 6]).map((x) => [
    x,
    undefined,
    { dtype: 'float32', dims: [4], data: Float32Array.from([1, 1, ...scales]) },
  ]),
  differentiate: [0],
});

const resizing: OpCase[] = [
  scaled('nearest', [2, 1.5], {
    coordinate_transformation_mode: text('asymmetric'),
    nearest_mode: text('floor'),
  }),
  scaled('nearest by half pixels', [0.6, 2], { mode: text('nearest') }),
  scaled('linear', [1.5, 0.5], { mode: text('linear') }),
  // Lengths that come out whole: where not, onnxruntime rounds them first, which ONNX's own cases do not.
  scaled('linear with corners', [2, 1.5], {
    mode: text('linear'),
    coordinate_transformation_mode: text('align_corners'),
  }),
  scaled('cubic', [2, 0.7], { mode: text('cubic'), cubic_coeff_a: { kind: 'float', value: -0.5 } }),
  scaled('cubic as PyTorch does', [1.6, 1.6], {
    mode: text('cubic'),
    coordinate_transformation_mode: text('pytorch_half_pixel'),
  }),
  scaled('linear with antialias', [0.4, 0.5], { mode: text('linear'), antialias: int(1) }),
  {
    name: 'Resize to sizes',
    opType: 'Resize',
    opset: 18,
    attributes: { mode: text('cubic') },
    inputs: floats([1, 2, 4, 4]).map((x) => [x, undefined, undefined, vector(1, 2, 7, 3)]),
    differentiate: [0],
  },
];

const padding = ['edge', 'reflect', 'wrap'].flatMap((mode): OpCase[] => [
  {
    name: `Pad, ${mode}`,
    opType: 'Pad',
    opset: 19,
    attributes: { mode: text(mode) },
    inputs: floats([2, 4, 5]).map((x) => [x, vector(0, 2, 1, 0, 3, 2)]),
    differentiate: [0],
  },
  {
    name: `Pad, ${mode}, of integers`,
    opType: 'Pad',
    opset: 19,
    attributes: { mode: text(mode) },
    inputs: integers([4, 5], -9, 9).map((x) => [x, vector(2, 1, 0, 2)]),
    outputs: ['int64'],
  },
]);

const scattering = (reduction: string): OpCase[] => [
  {
    name: `ScatterND, ${reduction}`,
    opType: 'ScatterND',
    opset: 18,
    attributes: { reduction: text(reduction) },
    // Nowhere equal to each other, which matters to max and min.
    inputs: fc.tuple(floats([4, 3, 2]), distinct([3, 2])).map(([x, updates]) => {
      const twice = reduction === 'none' ? 0 : 1;
      return [x, int64([3, 2], 3, 0, 1, -1, 3 * twice, twice ? 0 : 1), updates];
    }),
    differentiate: [0, 2],
  },
  {
    name: `ScatterElements, ${reduction}`,
    opType: 'ScatterElements',
    opset: 18,
    attributes: { axis: int(1), reduction: text(reduction) },
    inputs: fc
      .tuple(floats([2, 5]), distinct([2, 3]))
      .map(([x, updates]) => [x, int64([2, 3], 1, -1, reduction === 'none' ? 0 : 1, 0, 2, 3), updates]),
    differentiate: [0, 2],
  },
];

const ordering: OpCase[] = [
  {
    name: 'ScatterND of integers',
    opType: 'ScatterND',
    inputs: integers([4], -9, 9).map((x) => [x, int64([2, 1], 3, 1), vector(7, 8)]),
    outputs: ['int64'],
  },
  {
    name: 'GatherElements of repeated elements',
    opType: 'GatherElements',
    inputs: fc.tuple(floats([40]), integers([60], -40, 39)).map((both) => [...both]),
    differentiate: [0],
  },
  {
    name: 'TopK',
    opType: 'TopK',
    inputs: distinct([3, 6]).map((x) => [x, vector(4)]),
    outputs: ['float32', 'int64'],
    attributes: { axis: int(1) },
  },
  {
    name: 'TopK, the smallest along the first axis',
    opType: 'TopK',
    inputs: distinct([5, 2, 2]).map((x) => [x, vector(2)]),
    outputs: ['float32', 'int64'],
    attributes: { axis: int(0), largest: int(0) },
  },
  {
    name: 'Hardmax',
    opType: 'Hardmax',
    inputs: distinct([3, 4, 2]).map((x) => [x]),
    attributes: { axis: int(1) },
    differentiate: [0],
  },
  {
    name: 'Hardmax of one',
    opType: 'Hardmax',
    inputs: distinct([3, 1, 2]).map((x) => [x]),
    attributes: { axis: int(1) },
  },
  {
    name: 'Compress',
    opType: 'Compress',
    inputs: fc.tuple(floats([3, 4]), bools([4])).map((both) => [...both]),
    attributes: { axis: int(1) },
    differentiate: [0],
  },
  {
    name: 'ArgMax, the last of equals',
    opType: 'ArgMax',
    inputs: integers([4, 5], 0, 3).map((x) => [x]),
    attributes: { axis: int(1), select_last_index: int(1) },
    outputs: ['int64'],
  },
];

const einsum = (equation: string, ...dims: number[][]): OpCase => ({
  name: `Einsum ${equation}`,
  opType: 'Einsum',
  attributes: { equation: text(equation) },
  inputs: fc.tuple(...dims.map((d) => floats(d))),
  differentiate: dims.map((_, i) => i),
});

const einsums: OpCase[] = [
  einsum('bhid,bhjd->bhij', [2, 3, 4, 5], [2, 3, 2, 5]),
  einsum('bij,bjd->bid', [2, 3, 4], [2, 4, 5]),
  einsum('...ij,jk->...ik', [2, 3, 4], [4, 5]),
  einsum('ibh,ibnd,bh->nd', [2, 3, 4], [2, 3, 2, 3], [3, 4]),
  einsum('ij->ji', [3, 4]),
  einsum('ij->i', [3, 4]),
  einsum('ii->i', [4, 4]),
  einsum('i,j', [3], [4]),
  einsum('bn,anb->na', [2, 3], [4, 3, 2]),
];

const describing: OpCase[] = [
  {
    name: 'EyeLike',
    opType: 'EyeLike',
    attributes: { k: int(1), dtype: int(1) },
    inputs: shape(2).chain((d) => fc.tuple(floats(d))),
  },
  ...['BitwiseAnd', 'BitwiseOr', 'BitwiseXor'].map(
    (opType): OpCase => ({
      name: `${opType} of integers`,
      opType,
      opset: 18,
      inputs: dim.chain((n) => fc.tuple(integers([n], -9, 9), integers([n], -9, 9))),
      outputs: ['int64'],
    }),
  ),
  {
    name: 'BitShift',
    opType: 'BitShift',
    attributes: { direction: text('RIGHT') },
    inputs: fc.constant(
      [
        [1, 16, 255, 8],
        [1, 2, 3, 4],
      ].map((values) => ({ dtype: 'uint8' as const, dims: [4], data: Uint8Array.from(values) })),
    ),
    outputs: ['uint8'],
  },
  {
    name: 'BitwiseNot',
    opType: 'BitwiseNot',
    opset: 18,
    inputs: fc.tuple(integers([4], -9, 9)),
    outputs: ['int64'],
  },
];

export const windowCases: readonly OpCase[] = [
  ...pooling,
  ...resizing,
  ...padding,
  ...['none', 'add', 'mul', 'max', 'min'].flatMap(scattering),
  ...ordering,
  ...einsums,
  ...describing,
];
