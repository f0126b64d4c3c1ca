/** Element types of data made those that a model takes, where no value can change its meaning. */
import { SppError } from '../../schema/errors.ts';
import type { Dtype, Tensor, TensorData } from '../graph/graph.ts';

const INTEGER: ReadonlySet<Dtype> = new Set(['int64', 'int32', 'uint8', 'bool']);

const makers: Readonly<Record<Dtype, (data: TensorData) => TensorData>> = {
  float32: (data) => Float32Array.from(data as ArrayLike<number | bigint>, Number),
  float64: (data) => Float64Array.from(data as ArrayLike<number | bigint>, Number),
  int64: (data) => BigInt64Array.from(data as ArrayLike<number | bigint>, BigInt),
  int32: (data) => Int32Array.from(data as ArrayLike<number | bigint>, Number),
  uint8: (data) => Uint8Array.from(data as ArrayLike<number | bigint>, Number),
  bool: (data) => Uint8Array.from(data as ArrayLike<number | bigint>, Number),
};

const ranges: Readonly<Partial<Record<Dtype, readonly [number, number]>>> = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint8: [0, 255],
  bool: [0, 1],
};

/** Integers may become any number type that holds them, floats only floats. */
export function canCast(from: Dtype, to: Dtype): boolean {
  return from === to || INTEGER.has(from) || !INTEGER.has(to);
}

/** @throws `bad-data` when a value does not fit, naming `what`; `canCast` must hold */
export function castTensor(tensor: Tensor, dtype: Dtype, what: string): Tensor {
  if (tensor.dtype === dtype) return tensor;
  const [low, high] = ranges[dtype] ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (const value of tensor.data) {
    if (value < low || value > high)
      throw new SppError('bad-data', `${what} has the value ${value}, which no ${dtype} holds.`);
  }
  return { dtype, dims: tensor.dims, data: makers[dtype](tensor.data) };
}
