/** Fused operators that the interpreter does not run, and forms that only taking them apart looks at. */
import fc from 'fast-check';
import type { Attribute, Tensor } from '../graph.ts';
import { bools, float, floats, int, type OpCase, text } from '../ops/one-node.case.ts';

const microsoft = (
  name: string,
  opType: string,
  dims: readonly (number[] | undefined)[],
  attributes: Readonly<Record<string, Attribute>>,
  extra: Partial<OpCase> = {},
): OpCase => ({
  name: `${opType}, ${name}`,
  opType,
  domain: 'com.microsoft',
  attributes,
  inputs: fc.tuple(...dims.map((d) => (d ? floats(d, -1, 1) : fc.constant(undefined)))),
  ...extra,
});

const int32 = (dims: number[], ...values: number[]): Tensor => ({
  dtype: 'int32',
  dims,
  data: Int32Array.from(values),
});

/** Two examples of three tokens each, no cache. */
const grouped = (
  name: string,
  dims: readonly (number[] | undefined)[],
  attributes: Record<string, Attribute>,
) => ({
  ...microsoft(name, 'GroupQueryAttention', [], attributes),
  inputs: fc
    .tuple(
      fc.tuple(...dims.map((d) => (d ? floats(d, -1, 1) : fc.constant(undefined)))),
      fc.tuple(floats([8, 8], -1, 1), floats([8, 8], -1, 1)),
    )
    .map(([given, tables]) => {
      const lengths = [int32([2], 2, 2), int32([], 3)];
      return [...given, undefined, undefined, ...lengths, ...(attributes.do_rotary ? tables : [])];
    }),
  outputs: ['float32', 'float32', 'float32'] as const,
});

/** The same behind a cache of four places, of which each example has filled its own number. */
const groupedBehind = (
  name: string,
  fresh: number,
  filled: readonly number[],
  attributes: Record<string, Attribute> = {},
) => {
  const count = filled.length;
  const past = Math.max(...filled) === 0 ? 0 : 4;
  const cache = [count, 2, past, 16];
  return {
    ...microsoft(name, 'GroupQueryAttention', [], { ...groups, ...attributes }),
    inputs: fc
      .tuple(
        ...[[count, fresh, 64], [count, fresh, 32], [count, fresh, 32], cache, cache].map((d) =>
          floats(d, -1, 1),
        ),
        floats([12, 8], -1, 1),
        floats([12, 8], -1, 1),
      )
      .map(([q, k, v, keys, values, cos, sin]) => {
        const last = filled.map((held) => held + fresh - 1);
        const lengths = [int32([count], ...last), int32([], Math.max(...last) + 1)];
        return [q, k, v, keys, values, ...lengths, ...(attributes.do_rotary ? [cos, sin] : [])];
      }),
    outputs: ['float32', 'float32', 'float32'] as const,
  };
};

/** Of the letters of the linear maps below. */
const lengths: Readonly<Record<string, number>> = { b: 2, t: 3, d: 4, h: 2, k: 5 };

const groups = { num_heads: int(4), kv_num_heads: int(2) };
const threes = [
  [2, 3, 64],
  [2, 3, 32],
  [2, 3, 32],
];

export const unfuseCases: readonly OpCase[] = [
  microsoft(
    'turned matrix',
    'FusedMatMul',
    [
      [2, 3, 4],
      [5, 4],
    ],
    { transB: int(1), alpha: float(0.5) },
    { constant: [1] },
  ),
  microsoft(
    'turned activations',
    'FusedMatMul',
    [
      [2, 4, 3],
      [2, 5, 4],
    ],
    { transA: int(1), transB: int(1) },
  ),
  microsoft('with LeakyRelu', 'FusedGemm', [[3, 4], [5, 4], [5]], {
    transB: int(1),
    activation: text('LeakyRelu'),
    activation_alpha: float(0.2),
  }),
  microsoft('with Relu and a residual', 'FusedConv', [[2, 3, 4, 4], [2, 3, 1, 1], [2], [2, 2, 4, 4]], {
    activation: text('Relu'),
  }),
  ...(
    [
      ['linear, zeros around', {}],
      [
        'linear, edges repeated, corners at the middles',
        { padding_mode: text('border'), align_corners: int(1) },
      ],
      ['nearest', { mode: text('nearest') }],
    ] as const
  ).map(([name, attributes]) => ({
    name: `GridSample, ${name}`,
    opType: 'GridSample',
    opset: 20,
    attributes,
    inputs: fc.tuple(floats([2, 3, 4, 5], -1, 1), floats([2, 3, 2, 2], -1.3, 1.3)),
  })),
  {
    ...microsoft('a sink of each head', 'GroupQueryAttention', [], groups),
    inputs: fc.tuple(...[...threes, [4]].map((d) => floats(d, -1, 1))).map(([q, k, v, sink]) => {
      const lengths = [int32([2], 2, 2), int32([], 3)];
      return [q, k, v, undefined, undefined, ...lengths, ...Array(4).fill(undefined), sink];
    }),
    outputs: ['float32', 'float32', 'float32'] as const,
  },
  groupedBehind('one more behind caches of different lengths', 1, [4, 2]),
  groupedBehind('several more behind a cache, turned', 3, [4], { do_rotary: int(1) }),
  groupedBehind('one more, turned, in a window', 1, [4, 3], { do_rotary: int(1), local_window_size: int(3) }),
  groupedBehind('a first run with an empty cache', 3, [0, 0], { do_rotary: int(1) }),
  groupedBehind('a smooth softmax behind a cache', 1, [4, 1], { smooth_softmax: int(1), softcap: float(5) }),
  grouped('apart', threes, groups),
  grouped('in a window', threes, { ...groups, local_window_size: int(2) }),
  grouped('packed', [[2, 3, 128], undefined, undefined], groups),
  grouped('turned', threes, { ...groups, do_rotary: int(1) }),
  grouped('turned by neighbours', threes, { ...groups, do_rotary: int(1), rotary_interleaved: int(1) }),
  microsoft(
    'with a cache',
    'MultiHeadAttention',
    [[2, 3, 8], [2, 3, 8], [2, 3, 8], undefined, undefined, undefined, [2, 2, 4, 4], [2, 2, 4, 4]],
    { num_heads: int(2), unidirectional: int(1) },
    { outputs: ['float32', 'float32', 'float32'] },
  ),
  microsoft(
    'with a cache',
    'Attention',
    [[2, 3, 6], [6, 24], [24], undefined, [2, 2, 2, 4, 4]],
    { num_heads: int(2), unidirectional: int(1) },
    { outputs: ['float32', 'float32'] },
  ),
  {
    name: 'Attention with a cache, causal',
    opType: 'Attention',
    opset: 23,
    attributes: { is_causal: int(1), softcap: float(2) },
    inputs: fc
      .tuple(
        ...[
          [1, 4, 3, 4],
          [1, 2, 3, 4],
          [1, 2, 3, 4],
          [1, 2, 2, 4],
          [1, 2, 2, 4],
        ].map((d) => floats(d, -1, 1)),
      )
      .map(([q, k, v, pastK, pastV]) => [q, k, v, undefined, pastK, pastV]),
    outputs: ['float32', 'float32', 'float32'],
  },
  {
    name: 'Attention with rows that may look nowhere',
    opType: 'Attention',
    opset: 23,
    attributes: { is_causal: int(1), q_num_heads: int(2), kv_num_heads: int(2) },
    inputs: fc
      .tuple(floats([2, 4, 6], -1, 1), floats([2, 4, 6], -1, 1), floats([2, 4, 6], -1, 1), bools([4, 4]))
      .map(([q, k, v, mask]) => [q, k, v, mask]),
  },
  ...[
    ['btd', 'dhk', 'bthk'],
    ['bthk', 'hkd', 'btd'],
    ['dk', 'btd', 'btk'],
    ['...d', 'kd', '...k'],
  ].map(([left = '', right = '', output = '']): OpCase => {
    const dims = (term: string) => [...term.replace('...', 'bt')].map((letter) => lengths[letter] ?? 0);
    return {
      name: `Einsum ${left},${right}->${output}, a linear map`,
      opType: 'Einsum',
      attributes: { equation: text(`${left},${right}->${output}`) },
      inputs: fc.tuple(floats(dims(left)), floats(dims(right))),
      constant: [left === 'dk' ? 0 : 1],
    };
  }),
  {
    name: 'Einsum of several axes of a kind',
    opType: 'Einsum',
    attributes: { equation: text('bhtd,bhds->bts') },
    inputs: fc.tuple(floats([2, 3, 4, 5]), floats([2, 3, 5, 4])),
  },
];
