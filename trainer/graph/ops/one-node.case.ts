/** A one-node model of an operator with inputs drawn at random: what the operators' case tables are made of. */
import fc from 'fast-check';
import type { Attribute, Dtype, Graph, Tensor } from '../graph.ts';
import { elementCount } from '../graph.ts';

export interface OpCase {
  readonly name: string;
  readonly opType: string;
  readonly domain?: string;
  readonly opset?: number;
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** Inputs as fed; undefined for an absent optional one. */
  readonly inputs: fc.Arbitrary<readonly (Tensor | undefined)[]>;
  readonly outputs?: readonly Dtype[];
  /** Inputs that onnxruntime wants as initializers; those that steer shapes when absent. */
  readonly constant?: readonly number[];
  /** Inputs whose gradient is held against central differences. */
  readonly differentiate?: readonly number[];
  /** Relative to the largest output; 1e-5 when absent. Larger ones give their reason at the case. */
  readonly tolerance?: number;
}

export const int = (value: number): Attribute => ({ kind: 'int', value });
export const ints = (...value: number[]): Attribute => ({ kind: 'ints', value });
export const float = (value: number): Attribute => ({ kind: 'float', value });
export const text = (value: string): Attribute => ({ kind: 'string', value });

export const int64 = (dims: readonly number[], ...values: number[]): Tensor => ({
  dtype: 'int64',
  dims,
  data: BigInt64Array.from(values, BigInt),
});
export const vector = (...values: number[]): Tensor => int64([values.length], ...values);

/**
 * Floats of a shape, no nearer to zero than 0.18 / 32, so that central differences keep clear of kinks.
 * @param base 0.3 or 0.7: tensors of different base are nowhere equal, which matters to Max and Min
 */
export function floats(dims: readonly number[], low = -3, high = 3, base = 0.3): fc.Arbitrary<Tensor> {
  const count = elementCount(dims);
  const step = fc.integer({ min: Math.ceil(low * 32), max: Math.floor(high * 32) - 1 });
  return fc.array(step, { minLength: count, maxLength: count }).map(
    (values): Tensor => ({
      dtype: 'float32',
      dims,
      data: Float32Array.from(values, (value, i) => (value + base + (i % 7) * 0.02) / 32),
    }),
  );
}

export const dim = fc.integer({ min: 1, max: 5 });
export const shape = (rank: number) => fc.array(dim, { minLength: rank, maxLength: rank });
export const anyShape = fc.integer({ min: 1, max: 4 }).chain(shape);

/** Two shapes that broadcast: some dimensions of the second are one, or missing in front. */
export const broadcastPair = fc
  .tuple(anyShape, fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }), fc.nat(2))
  .map(
    ([dims, ones, drop]) =>
      [dims, dims.map((d, i) => (ones[i] ? 1 : d)).slice(Math.min(drop, dims.length - 1))] as const,
  );

export const one = (low?: number, high?: number) =>
  anyShape.chain((dims) => fc.tuple(floats(dims, low, high)));
export const two = (low?: number, high?: number) =>
  broadcastPair.chain(([a, b]) => fc.tuple(floats(a, low, high), floats(b, low, high, 0.7)));
export const bools = (dims: readonly number[]) =>
  fc
    .array(fc.nat(1), { minLength: elementCount(dims), maxLength: elementCount(dims) })
    .map((values): Tensor => ({ dtype: 'bool', dims, data: Uint8Array.from(values) }));
export const integers = (dims: readonly number[], min: number, max: number) =>
  fc
    .array(fc.integer({ min, max }), { minLength: elementCount(dims), maxLength: elementCount(dims) })
    .map((values) => int64(dims, ...values));

export const unary = (opType: string, low?: number, high?: number, extra: Partial<OpCase> = {}): OpCase => ({
  name: opType,
  opType,
  inputs: one(low, high),
  differentiate: [0],
  ...extra,
});
export const binary = (opType: string, low?: number, high?: number, extra: Partial<OpCase> = {}): OpCase => ({
  name: opType,
  opType,
  inputs: two(low, high),
  differentiate: [0, 1],
  ...extra,
});
export const compare = (opType: string): OpCase => ({
  name: opType,
  opType,
  inputs: two(),
  outputs: ['bool'],
});
export const integerPair = (opType: string, extra: Partial<OpCase> = {}): OpCase => ({
  name: `${opType} of integers`,
  opType,
  inputs: broadcastPair.chain(([a, b]) => fc.tuple(integers(a, -9, 9), integers(b, 1, 9))),
  outputs: ['int64'],
  ...extra,
});

/** A model of one node; tensors at `constant` positions are initializers, the others inputs. */
export function oneNode(
  op: OpCase,
  inputs: readonly (Tensor | undefined)[],
  constant: readonly number[],
  outputRanks: readonly number[] = [],
): Graph {
  const named = inputs.map((tensor, i) => ({ name: `i${i}`, tensor, fixed: constant.includes(i) }));
  const dtypes = op.outputs ?? ['float32'];
  const domain = op.domain ?? '';
  return {
    name: op.opType,
    irVersion: 8,
    opsets: { '': op.opset ?? 17, ...(domain === '' ? {} : { [domain]: 1 }) },
    inputs: named.flatMap(({ name, tensor, fixed }) =>
      tensor && !fixed
        ? [{ name, dtype: tensor.dtype, dims: tensor.dims.map((_, a) => `${name}_${a}`) }]
        : [],
    ),
    outputs: dtypes.map((dtype, i) => ({
      name: `o${i}`,
      dtype,
      dims: Array.from({ length: outputRanks[i] ?? 0 }, (_, a) => `o${i}_${a}`),
    })),
    initializers: new Map(
      named.flatMap(({ name, tensor, fixed }) => (tensor && fixed ? [[name, tensor]] : [])),
    ),
    nodes: [
      {
        name: 'the node',
        opType: op.opType,
        domain,
        inputs: named.map(({ name, tensor }) => (tensor ? name : '')),
        outputs: dtypes.map((_, i) => `o${i}`),
        attributes: op.attributes ?? {},
      },
    ],
  };
}
