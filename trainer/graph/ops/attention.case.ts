/** Cases of attention, rotary embedding and of what onnxruntime fuses around them. */
import fc from 'fast-check';
import type { Attribute, Tensor } from '../graph.ts';
import { binary, bools, float, floats, int, int64, type OpCase, shape, unary } from './one-node.case.ts';

type Attributes = Readonly<Record<string, Attribute>>;

const int32 = (dims: number[], ...values: number[]): Tensor => ({
  dtype: 'int32',
  dims,
  data: Int32Array.from(values),
});

const attention = (
  name: string,
  dims: readonly (number[] | undefined)[],
  attributes: Attributes,
  more: readonly (Tensor | undefined)[] = [],
  extra: Partial<OpCase> = {},
): OpCase => ({
  name: `Attention, ${name}`,
  opType: 'Attention',
  opset: 23,
  attributes,
  inputs: fc
    .tuple(...dims.map((d) => (d ? floats(d, -1, 1) : fc.constant(undefined))))
    .map((given) => [...given, ...more]),
  differentiate: [0, 1, 2],
  ...extra,
});

const onnx: OpCase[] = [
  attention(
    'four axes',
    [
      [2, 2, 3, 4],
      [2, 2, 5, 4],
      [2, 2, 5, 3],
    ],
    {},
  ),
  attention(
    'grouped and causal',
    [
      [2, 4, 3, 4],
      [2, 2, 3, 4],
      [2, 2, 3, 4],
    ],
    { is_causal: int(1) },
  ),
  attention(
    'packed heads',
    [
      [2, 3, 8],
      [2, 5, 8],
      [2, 5, 8],
    ],
    { q_num_heads: int(2), kv_num_heads: int(2), scale: float(0.7) },
  ),
  attention(
    'with a float mask',
    [
      [2, 2, 3, 4],
      [2, 2, 5, 4],
      [2, 2, 5, 3],
      [3, 5],
    ],
    {},
    [],
    { differentiate: [0, 1, 2, 3] },
  ),
];

const masked: OpCase = {
  name: 'Attention, with a mask of booleans',
  opType: 'Attention',
  opset: 23,
  inputs: fc
    .tuple(floats([1, 2, 3, 4]), floats([1, 2, 4, 4]), floats([1, 2, 4, 2]), bools([3, 4]))
    // Every query keeps a key.
    .map(([q, k, v, mask]) => [
      q,
      k,
      v,
      { ...mask, data: Uint8Array.from(mask.data as Uint8Array, (x, i) => (i % 4 === 0 ? 1 : x)) },
    ]),
  differentiate: [0, 1, 2],
};

const tables = (dims: number[]) => fc.tuple(floats(dims, -1, 1), floats(dims, -1, 1));

const rotary = (name: string, x: number[], half: number, attributes: Attributes): OpCase[] => [
  {
    name: `RotaryEmbedding, ${name}`,
    opType: 'RotaryEmbedding',
    opset: 23,
    attributes,
    inputs: fc
      .tuple(floats(x), tables([7, half]))
      .map(([t, [cos, sin]]) => [t, cos, sin, int64([2, 3], 0, 1, 2, 4, 5, 6)]),
    differentiate: [0],
  },
  {
    name: `com.microsoft.RotaryEmbedding, ${name}`,
    opType: 'RotaryEmbedding',
    domain: 'com.microsoft',
    attributes,
    inputs: fc
      .tuple(floats(x), tables([7, half]))
      .map(([t, [cos, sin]]) => [t, int64([2, 3], 0, 1, 2, 4, 5, 6), cos, sin]),
    differentiate: [0],
  },
];

const fused = (
  name: string,
  opType: string,
  dims: readonly (number[] | undefined)[],
  attributes: Attributes,
  more: readonly (Tensor | undefined)[] = [],
  extra: Partial<OpCase> = {},
): OpCase => ({
  ...attention(name, dims, attributes, more),
  name: `com.microsoft.${opType}, ${name}`,
  opType,
  domain: 'com.microsoft',
  opset: 17,
  ...extra,
});

const x = [2, 3, 6];
const weights = [[6, 24], [24]];
const apart = [x, [2, 4, 6], [2, 4, 6]];
const two = { num_heads: int(2) };

const microsoft: OpCase[] = [
  fused('plain', 'Attention', [x, ...weights], two),
  fused('causal', 'Attention', [x, ...weights], { ...two, unidirectional: int(1) }),
  fused('with lengths', 'Attention', [x, ...weights], two, [int32([2], 2, 3)]),
  fused('with a mask', 'Attention', [x, ...weights], two, [int32([2, 3], 1, 1, 0, 0, 1, 1)]),
  fused('unequal widths', 'Attention', [x, [6, 20], [20]], {
    ...two,
    qkv_hidden_sizes: { kind: 'ints', value: [8, 8, 4] },
  }),
  fused('plain', 'MultiHeadAttention', apart, two),
  fused('with bias', 'MultiHeadAttention', [...apart, [18]], { ...two, scale: float(0.5) }, [], {
    differentiate: [0, 1, 2, 3],
  }),
  fused('with a mask', 'MultiHeadAttention', apart, two, [undefined, int32([2, 4], 1, 1, 0, 1, 1, 0, 1, 1)]),
  fused('with a score bias', 'MultiHeadAttention', [...apart, undefined, undefined, [1, 2, 3, 4]], two, [], {
    differentiate: [0, 5],
  }),
  fused('causal', 'MultiHeadAttention', [x, x, x], { ...two, unidirectional: int(1) }),
  {
    ...fused('', 'SkipLayerNormalization', [x, x, [6], [6], [6]], { epsilon: float(0.1) }, [], {
      differentiate: [0, 1, 2, 3, 4],
    }),
    name: 'SkipLayerNormalization',
  },
  {
    ...fused('', 'SkipSimplifiedLayerNormalization', [x, x, [6], [6]], { epsilon: float(0.1) }, [], {
      differentiate: [0, 1, 2, 3],
    }),
    name: 'SkipSimplifiedLayerNormalization',
  },
  {
    name: 'EmbedLayerNormalization',
    opType: 'EmbedLayerNormalization',
    domain: 'com.microsoft',
    attributes: { epsilon: float(0.1) },
    inputs: fc
      .tuple(floats([7, 4]), floats([5, 4]), floats([2, 4]), floats([4]), floats([4]))
      .map(([words, places, segments, scale, shift]) => [
        int32([2, 3], 1, 6, 0, 2, 2, 5),
        int32([2, 3], 0, 0, 1, 1, 0, 1),
        words,
        places,
        segments,
        scale,
        shift,
        int32([2, 3], 1, 1, 0, 1, 1, 1),
      ]),
    outputs: ['float32', 'int32'],
    constant: [2, 3, 4, 5, 6],
    differentiate: [],
  },
  // Of sums from -2 on: further below, what erf rounds absolutely is large beside results near zero.
  binary('BiasGelu', -3, 3, {
    domain: 'com.microsoft',
    inputs: shape(2).chain(([n, m]) =>
      fc.tuple(floats([n as number, m as number], -1, 3), floats([m as number], -1, 1)),
    ),
    tolerance: 1e-4,
  }),
  // tanh is good to 1.5e-7 absolute, where the smallest results are about 0.005.
  unary('FastGelu', -3, 3, { domain: 'com.microsoft', tolerance: 1e-4 }),
  {
    name: 'FastGelu with bias',
    opType: 'FastGelu',
    domain: 'com.microsoft',
    inputs: fc.tuple(floats([3, 4]), floats([4])),
    differentiate: [0, 1],
    tolerance: 1e-4,
  },
];

export const attentionCases: readonly OpCase[] = [
  ...onnx,
  masked,
  ...rotary('halves', [2, 2, 3, 8], 4, {}),
  ...rotary('neighbours', [2, 2, 3, 8], 4, { interleaved: int(1) }),
  ...rotary('in part', [2, 3, 16], 2, { num_heads: int(2), rotary_embedding_dim: int(4) }),
  ...microsoft,
];
