/** Cases of the operators that move, pick and describe elements, in floats (on the backend) and in integers (on the host). */
import fc from 'fast-check';
import type { Attribute, Tensor } from '../graph.ts';
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
  vector,
} from './one-node.case.ts';

type Attributes = Readonly<Record<string, Attribute>>;

/** The same case for floats, with gradient, and for integers. */
function both(
  opType: string,
  name: string,
  dims: fc.Arbitrary<readonly number[]> | readonly number[],
  more:
    | readonly (Tensor | undefined)[]
    | ((dims: readonly number[]) => fc.Arbitrary<readonly (Tensor | undefined)[]>) = [],
  attributes: Attributes = {},
  extra: Partial<OpCase> = {},
): OpCase[] {
  const sizes: fc.Arbitrary<readonly number[]> = dims instanceof fc.Arbitrary ? dims : fc.constant(dims);
  const rest = (d: readonly number[]) => (typeof more === 'function' ? more(d) : fc.constant(more));
  const inputs = (fill: (d: readonly number[]) => fc.Arbitrary<Tensor>) =>
    sizes.chain((d) => fc.tuple(fill(d), rest(d)).map(([first, others]) => [first, ...others]));
  return [
    { name: `${name} of floats`, opType, attributes, inputs: inputs(floats), differentiate: [0], ...extra },
    {
      name: `${name} of integers`,
      opType,
      attributes,
      inputs: inputs((d) => integers(d, -9, 9)),
      outputs: ['int64'],
      ...extra,
      differentiate: [],
    },
  ];
}

const END = Number.MAX_SAFE_INTEGER;
const scalar = (value: number) => int64([], value);

const indexed = (
  opType: string,
  name: string,
  dims: number[],
  indices: Tensor,
  attributes: Attributes = {},
) => both(opType, name, dims, [indices], attributes);

const moving: OpCase[] = [
  ...both('Reshape', 'Reshape with 0 and -1', shape(3), [vector(0, -1)]),
  ...both('Reshape', 'Reshape', [2, 3, 4], [vector(4, 1, 6)], { allowzero: int(1) }),
  ...both('Flatten', 'Flatten', shape(3), [], { axis: int(2) }),
  ...both('Squeeze', 'Squeeze', [1, 3, 1, 2], [vector(0, -2)]),
  ...both('Squeeze', 'Squeeze of all', [1, 3, 1]),
  ...both('Squeeze', 'Squeeze before opset 13', [1, 3, 1], [], { axes: ints(2) }, { opset: 11 }),
  ...both('Unsqueeze', 'Unsqueeze', shape(2), [vector(0, -1)]),
  ...both('Transpose', 'Transpose', shape(4), [], { perm: ints(2, 0, 3, 1) }),
  ...both('Transpose', 'Transpose of five axes', shape(5), [], { perm: ints(2, 0, 3, 1, 4) }),
  ...both('Transpose', 'Transpose by default', shape(3)),
  ...both('Expand', 'Expand', [3, 1, 2], [vector(2, 1, 4, 1)]),
  ...both('Tile', 'Tile', shape(2), [vector(2, 3)]),
  ...both('Pad', 'Pad', shape(2), (d) => fc.constant([vector(1, 0, 0, d.length)])),
  ...both('Pad', 'Pad that crops', [4, 5], [vector(-1, 1, 0, -2)]),
  ...both('Identity', 'Identity', shape(2)),
  ...both('Trilu', 'Trilu', shape(3), [scalar(1)]),
  ...both('Trilu', 'Trilu of the lower half', shape(2), [], { upper: int(0) }),
  {
    name: 'Concat of floats',
    opType: 'Concat',
    attributes: { axis: int(-1) },
    inputs: fc.tuple(dim, dim, dim).chain(([n, a, b]) => fc.tuple(floats([2, n, a]), floats([2, n, b]))),
    differentiate: [0, 1],
  },
  {
    name: 'Concat of integers',
    opType: 'Concat',
    attributes: { axis: int(1) },
    inputs: fc
      .tuple(dim, dim, dim)
      .chain(([n, a, b]) => fc.tuple(integers([n, a, 2], -9, 9), integers([n, b, 2], -9, 9))),
    outputs: ['int64'],
  },
];

const slicing: OpCase[] = [
  ...both('Slice', 'Slice', [4, 5], [vector(1), vector(END), vector(1)]),
  ...both('Slice', 'Slice from the end', [4, 5], [vector(-3, 0), vector(-1, 4), vector(-1, 0)]),
  ...both('Slice', 'Slice with steps', [5, 7], [vector(1, 0), vector(END, 6), vector(1, 0), vector(2, 3)]),
  ...both('Slice', 'Slice backwards', [5, 3], [vector(-1), vector(-END), vector(0), vector(-1)]),
  ...both('Slice', 'Slice backwards with steps', [6, 2], [vector(4), vector(0), vector(0), vector(-2)]),
  ...both(
    'Split',
    'Split by sizes',
    [2, 5],
    [vector(2, 3)],
    { axis: int(1) },
    { outputs: ['float32', 'float32'] },
  ).slice(0, 1),
  ...both(
    'Split',
    'Split evenly',
    [7, 2],
    [],
    { num_outputs: int(3) },
    { opset: 18, outputs: ['float32', 'float32', 'float32'] },
  ).slice(0, 1),
];

const picking: OpCase[] = [
  ...indexed('Gather', 'Gather of one', [4, 3, 2], scalar(-1), { axis: int(1) }),
  ...indexed('Gather', 'Gather of neighbours', [5, 3], vector(1, 2, 3)),
  ...indexed('Gather', 'Gather of a table of indices', [4, 3], int64([2, 2], 3, 0, 1, 1)),
  ...both('Gather', 'Gather of many', [2, 40, 3], () => integers([30], 0, 39).map((i) => [i]), {
    axis: int(1),
  }),
  ...indexed(
    'Gather',
    'Gather of one row, many times',
    [1, 3],
    int64([12], ...new Array<number>(12).fill(0)),
  ),
  ...indexed('GatherND', 'GatherND', [3, 4, 2], int64([2, 2], 0, 3, 2, 1)),
  ...indexed('GatherND', 'GatherND in batches', [2, 4, 3], int64([2, 1], 3, 1), { batch_dims: int(1) }),
  ...indexed('GatherElements', 'GatherElements', [3, 4], int64([2, 4], 0, 1, 2, 0, 2, -1, 1, 0), {
    axis: int(0),
  }),
];

const describing: OpCase[] = [
  { name: 'Shape', opType: 'Shape', inputs: shape(3).chain((d) => fc.tuple(floats(d))), outputs: ['int64'] },
  {
    name: 'Shape in part',
    opType: 'Shape',
    attributes: { start: int(1), end: int(-1) },
    inputs: shape(4).chain((d) => fc.tuple(floats(d))),
    outputs: ['int64'],
  },
  { name: 'Size', opType: 'Size', inputs: shape(3).chain((d) => fc.tuple(bools(d))), outputs: ['int64'] },
  {
    name: 'ConstantOfShape',
    opType: 'ConstantOfShape',
    attributes: {
      value: { kind: 'tensor', value: { dtype: 'int64', dims: [1], data: BigInt64Array.of(7n) } },
    },
    inputs: shape(2).chain((d) => fc.tuple(fc.constant(vector(...d)))),
    outputs: ['int64'],
  },
  {
    name: 'Range',
    opType: 'Range',
    inputs: fc
      .tuple(fc.integer({ min: -5, max: 5 }), fc.integer({ min: -5, max: 5 }), fc.constantFrom(-2, 1, 3))
      .map((values) => values.map(scalar)),
    outputs: ['int64'],
  },
  {
    name: 'OneHot',
    opType: 'OneHot',
    attributes: { axis: int(1) },
    inputs: integers([2, 3], -4, 3).map((indices) => [indices, scalar(4), vector(0, 5)]),
    outputs: ['int64'],
  },
];

export const layoutCases: readonly OpCase[] = [...moving, ...slicing, ...picking, ...describing];
