/**
 * What flows along the edges of a running graph. Floats are tf tensors on the backend; integers, booleans and whatever is computed
 * from them alone are plain numbers on the host, so that shape arithmetic never touches a backend and knows int64.
 */
import * as tf from '@tensorflow/tfjs-core';
import { SppError } from '../../schema/errors.ts';
import { type Dtype, elementCount, type Tensor } from './graph.ts';

export interface HostValue {
  readonly kind: 'host';
  readonly dtype: Dtype;
  readonly dims: readonly number[];
  /** Row-major; integers beyond 2^53 are rounded, which only "to the end" markers of slices reach. */
  readonly data: Float64Array;
}

export type Value = HostValue | tf.Tensor;

export function isHost(value: Value): value is HostValue {
  return (value as HostValue).kind === 'host';
}

export function dimsOf(value: Value): readonly number[] {
  return isHost(value) ? value.dims : value.shape;
}

export function isFloat(value: Value): boolean {
  return value.dtype === 'float32' || value.dtype === 'float64';
}

export function hostValue(dtype: Dtype, dims: readonly number[], data: ArrayLike<number>): HostValue {
  return { kind: 'host', dtype, dims, data: data instanceof Float64Array ? data : Float64Array.from(data) };
}

/** A graph's tensor as host numbers. */
export function hostFromTensor(tensor: Tensor): HostValue {
  const { dtype, dims, data } = tensor;
  return hostValue(dtype, dims, data instanceof BigInt64Array ? Float64Array.from(data, Number) : data);
}

const INT32_MAX = 2 ** 31 - 1;

/** The value on the backend; the caller's tidy frees what was uploaded. Integers beyond int32 saturate. */
export function toDevice(value: Value): tf.Tensor {
  if (!isHost(value)) return value;
  const { dtype, data } = value;
  const shape = [...value.dims];
  if (dtype === 'bool') return tf.tensor(Uint8Array.from(data), shape, 'bool');
  if (dtype === 'float32' || dtype === 'float64') return tf.tensor(Float32Array.from(data), shape, 'float32');
  const int32 = Int32Array.from(data, (x) => Math.min(Math.max(x, -INT32_MAX - 1), INT32_MAX));
  return tf.tensor(int32, shape, 'int32');
}

/** The value as host numbers; a device tensor is read back, which ends its gradient: for integers, booleans and results only. */
export function toHost(value: Value): HostValue {
  if (isHost(value)) return value;
  const dtype: Dtype = value.dtype === 'int32' ? 'int64' : value.dtype === 'bool' ? 'bool' : 'float32';
  return hostValue(dtype, value.shape, value.dataSync() as Float32Array);
}

/** The value as one of the graph's tensors; never a view of the backend's memory. */
export function toTensor(value: Value): Tensor {
  if (!isHost(value) && value.dtype === 'float32')
    return { dtype: 'float32', dims: value.shape, data: value.dataSync<'float32'>().slice() };
  const { dtype, dims, data } = toHost(value);
  return { dtype, dims, data: hostArrays[dtype](data) };
}

const hostArrays = {
  float32: (data) => Float32Array.from(data),
  float64: (data) => data,
  int64: (data) => BigInt64Array.from(data, (x) => BigInt.asIntN(64, BigInt(Math.min(x, 2 ** 63 - 1024)))),
  int32: (data) => Int32Array.from(data),
  uint8: (data) => Uint8Array.from(data),
  bool: (data) => Uint8Array.from(data),
} as const satisfies Record<Dtype, (data: Float64Array) => Tensor['data']>;

/** Row-major strides of a shape. */
export function stridesOf(dims: readonly number[]): number[] {
  const strides = new Array<number>(dims.length).fill(1);
  for (let axis = dims.length - 2; axis >= 0; axis--)
    strides[axis] = (strides[axis + 1] as number) * (dims[axis + 1] as number);
  return strides;
}

/**
 * Numpy's broadcasting of several shapes.
 * @throws `bad-shape` naming the shapes that do not fit
 */
export function broadcastDims(...shapes: (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    let dim = 1;
    for (const shape of shapes) {
      const own = shape[axis - rank + shape.length] ?? 1;
      if (own === 1) continue;
      if (dim !== 1 && dim !== own)
        throw new SppError(
          'bad-shape',
          `Shapes ${shapes.map((s) => `[${s}]`).join(' and ')} do not broadcast.`,
        );
      dim = own;
    }
    return dim;
  });
}

/** Strides that read `dims` as if it had the shape `out`: zero where it repeats. */
export function broadcastStrides(dims: readonly number[], out: readonly number[]): number[] {
  const strides = stridesOf(dims);
  const missing = out.length - dims.length;
  return out.map((_, axis) => ((dims[axis - missing] ?? 1) === 1 ? 0 : (strides[axis - missing] as number)));
}

/** Reads a strided view, row-major: the one loop behind transposing, slicing and repeating on the host. */
export function readStrided(
  data: Float64Array,
  dims: readonly number[],
  strides: readonly number[],
  start = 0,
): Float64Array {
  const out = new Float64Array(elementCount(dims));
  const index = new Array<number>(dims.length).fill(0);
  let from = start;
  for (let i = 0; i < out.length; i++) {
    out[i] = data[from] as number;
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      from += strides[axis] as number;
      if (++(index[axis] as number) < (dims[axis] as number)) break;
      from -= (strides[axis] as number) * (dims[axis] as number);
      index[axis] = 0;
    }
  }
  return out;
}

/** Applies `f` element by element over broadcast host values; float32 results are rounded to float32. */
export function mapHost(
  dtype: Dtype,
  values: readonly HostValue[],
  f: (...elements: number[]) => number,
): HostValue {
  const dims = broadcastDims(...values.map((value) => value.dims));
  const count = elementCount(dims);
  const columns = values.map((value) =>
    value.data.length === count
      ? value.data
      : readStrided(value.data, dims, broadcastStrides(value.dims, dims)),
  );
  const [a, b] = columns as [Float64Array, Float64Array];
  const out = new Float64Array(count);
  if (columns.length === 1) for (let i = 0; i < count; i++) out[i] = f(a[i] as number);
  else if (columns.length === 2) for (let i = 0; i < count; i++) out[i] = f(a[i] as number, b[i] as number);
  else for (let i = 0; i < count; i++) out[i] = f(...columns.map((column) => column[i] as number));
  if (dtype === 'float32') for (let i = 0; i < count; i++) out[i] = Math.fround(out[i] as number);
  return hostValue(dtype, dims, out);
}

/** An axis counted from the end when negative. */
export function positiveAxis(axis: number, rank: number): number {
  const positive = axis < 0 ? axis + rank : axis;
  if (positive < 0 || positive >= Math.max(rank, 1))
    throw new SppError('bad-shape', `Axis ${axis} is outside a tensor of ${rank} dimensions.`);
  return positive;
}
