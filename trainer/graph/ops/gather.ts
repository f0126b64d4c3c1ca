/** Operators that pick elements by index. Indices are host numbers, so that picking has a gradient without a scatter kernel. */
import * as tf from '@tensorflow/tfjs-core';
import { elementCount, intAttribute } from '../graph.ts';
import { dimsOf, hostValue, isHost, positiveAxis, stridesOf, toHost, type Value } from '../value.ts';
import { always, type Evaluate, input, type OpTable } from './op.ts';
import { reshape } from './shape.ts';
import { sliceAxis } from './slice.ts';

/** More runs of neighbouring indices than this are gathered in one go instead of being sliced out one by one. */
const MOST_SLICES = 16;

/**
 * Picks indices along an axis: [..., n, ...] to [..., count, ...].
 * @param differentiable the gradient of a device gather is a product with a one-hot matrix; slices carry theirs
 */
export function take(value: Value, indices: readonly number[], axis: number, differentiable: boolean): Value {
  const dims = dimsOf(value);
  if (isHost(value)) {
    const inner = elementCount(dims.slice(axis + 1));
    const length = dims[axis] as number;
    const outer = elementCount(dims.slice(0, axis));
    const out = new Float64Array(outer * indices.length * inner);
    let to = 0;
    for (let o = 0; o < outer; o++)
      for (const index of indices) {
        const from = (o * length + index) * inner;
        out.set(value.data.subarray(from, from + inner), to);
        to += inner;
      }
    return hostValue(
      value.dtype,
      dims.map((dim, a) => (a === axis ? indices.length : dim)),
      out,
    );
  }
  const runs = runsOf(indices);
  if (runs.length === 0) return sliceAxis(value, { axis, start: 0, count: 0, step: 1 });
  if (runs.length <= MOST_SLICES) {
    const parts = runs.map((run) => sliceAxis(value, { axis, step: 1, ...run }) as tf.Tensor);
    return parts.length === 1 ? (parts[0] as tf.Tensor) : tf.concat(parts, axis);
  }
  const picked = () => tf.gather(value, tf.tensor1d(indices as number[], 'int32'), axis);
  return differentiable ? gatherWithGradient(value, indices, axis) : picked();
}

function runsOf(indices: readonly number[]): { start: number; count: number }[] {
  const runs: { start: number; count: number }[] = [];
  for (const index of indices) {
    const last = runs.at(-1);
    if (last && last.start + last.count === index) last.count++;
    else runs.push({ start: index, count: 1 });
  }
  return runs;
}

/** Rows picked from [n, inner]; the gradient of a row is the sum of those of its copies. */
function gatherWithGradient(x: tf.Tensor, indices: readonly number[], axis: number): tf.Tensor {
  const order = [axis, ...x.shape.map((_, a) => a).filter((a) => a !== axis)];
  const front = axis === 0 ? x : tf.transpose(x, order);
  const [length] = front.shape as [number];
  const rest = front.shape.slice(1);
  const rows = tf.reshape(front, [length, -1]) as tf.Tensor2D;
  const picked = tf.customGrad((matrix) => ({
    value: tf.gather(matrix as tf.Tensor2D, tf.tensor1d(indices as number[], 'int32')),
    gradFunc: (dy: tf.Tensor) => sumCopies(dy as tf.Tensor2D, indices, length),
  }))(rows);
  const shaped = tf.reshape(picked, [indices.length, ...rest]);
  if (axis === 0) return shaped;
  const back = order.map((_, a) => order.indexOf(a));
  return tf.transpose(shaped, back);
}

/** More copies of one row than this are summed by a product with a one-hot matrix. */
const MOST_LAYERS = 8;

/** Adds row i of [count, inner] to row `indices[i]` of [length, inner]: layer by layer, each with at most one copy of a row. */
function sumCopies(dy: tf.Tensor2D, indices: readonly number[], length: number): tf.Tensor {
  // A one-hot matrix of one column is refused.
  if (length === 1) return tf.sum(dy, 0, true);
  const layers = layersOf(indices, length);
  if (layers.length > MOST_LAYERS) {
    const oneHot = tf.oneHot(tf.tensor1d(indices as number[], 'int32'), length); // [count, n]
    return tf.matMul(tf.transpose(tf.cast(oneHot, 'float32')), dy);
  }
  const withZeros = tf.concat([dy, tf.zeros([1, dy.shape[1]])], 0); // [count + 1, inner]
  return layers
    .map((rows) =>
      tf.gather(
        withZeros,
        tf.tensor1d(
          rows.map((row) => row ?? indices.length),
          'int32',
        ),
      ),
    )
    .reduce((sum, part) => tf.add(sum, part), tf.zeros([length, dy.shape[1]]));
}

/**
 * Turns "copy i comes from row indices[i]" around: layer k holds, for each row, its k-th copy, or undefined.
 * Both scattering and the gradient of picking are made of it.
 */
export function layersOf(indices: readonly number[], length: number): (number | undefined)[][] {
  const layers: (number | undefined)[][] = [];
  const copies = new Int32Array(length);
  indices.forEach((row, i) => {
    const layer = copies[row] as number;
    copies[row] = layer + 1;
    layers[layer] ??= new Array<number | undefined>(length).fill(undefined);
    (layers[layer] as (number | undefined)[])[row] = i;
  });
  return layers;
}

function wrapped(indices: Float64Array, length: number): number[] {
  return Array.from(indices, (index) => (index < 0 ? index + length : index));
}

const gather: Evaluate = (call) => {
  const value = input(call, 0);
  const indices = toHost(input(call, 1));
  const dims = dimsOf(value);
  const axis = positiveAxis(intAttribute(call.node, 'axis', 0), dims.length);
  const at = wrapped(indices.data, dims[axis] as number);
  const out = [...dims.slice(0, axis), ...indices.dims, ...dims.slice(axis + 1)];
  return reshape(take(value, at, axis, call.gradient[0] === true), out);
};

/** Rows at full index tuples: [B..., i0, ..., rest...] by [B..., ..., k] to [B..., ..., rest...]. */
const gatherNd: Evaluate = (call) => {
  const value = input(call, 0);
  const indices = toHost(input(call, 1));
  const dims = dimsOf(value);
  const batch = intAttribute(call.node, 'batch_dims', 0);
  const depth = indices.dims.at(-1) as number;
  const rest = dims.slice(batch + depth);
  const tuples = indices.data.length / depth;
  const perBatch = tuples / elementCount(dims.slice(0, batch));
  const strides = stridesOf(dims.slice(batch, batch + depth));
  const block = elementCount(dims.slice(batch, batch + depth));
  const rows = Array.from({ length: tuples }, (_, t) => {
    let row = Math.floor(t / perBatch) * block;
    for (let d = 0; d < depth; d++) {
      const index = indices.data[t * depth + d] as number;
      row += (index < 0 ? index + (dims[batch + d] as number) : index) * (strides[d] as number);
    }
    return row;
  });
  const flat = reshape(value, [elementCount(dims.slice(0, batch + depth)), elementCount(rest)]);
  return reshape(take(flat, rows, 0, call.gradient[0] === true), [...indices.dims.slice(0, -1), ...rest]);
};

/** out[i][j] = data[index[i][j]][j] along `axis`: a gather of single elements by their flat position. */
const gatherElements: Evaluate = (call) => {
  const value = input(call, 0);
  const indices = toHost(input(call, 1));
  const dims = dimsOf(value);
  const axis = positiveAxis(intAttribute(call.node, 'axis', 0), dims.length);
  const strides = stridesOf(dims);
  const own = stridesOf(indices.dims);
  const positions = Array.from(indices.data, (index, i) => {
    let position = 0;
    for (let a = 0; a < dims.length; a++) {
      const along = Math.floor(i / (own[a] as number)) % (indices.dims[a] as number);
      const at = a === axis ? (index < 0 ? index + (dims[axis] as number) : index) : along;
      position += at * (strides[a] as number);
    }
    return position;
  });
  const flat = reshape(value, [elementCount(dims), 1]);
  return reshape(take(flat, positions, 0, call.gradient[0] === true), indices.dims);
};

const oneHot: Evaluate = (call) => {
  const indices = toHost(input(call, 0));
  const depth = toHost(input(call, 1)).data[0] as number;
  const values = toHost(input(call, 2));
  const axis = positiveAxis(intAttribute(call.node, 'axis', -1), indices.dims.length + 1);
  const inner = elementCount(indices.dims.slice(axis));
  const [off, on] = [values.data[0] as number, values.data[1] as number];
  const dims = [...indices.dims.slice(0, axis), depth, ...indices.dims.slice(axis)];
  const data = new Float64Array(elementCount(dims)).fill(off);
  indices.data.forEach((given, i) => {
    const index = given < 0 ? given + depth : given;
    if (index < depth && index >= 0) data[(Math.floor(i / inner) * depth + index) * inner + (i % inner)] = on;
  });
  return hostValue(values.dtype, dims, data);
};

export const gatherOps: OpTable = {
  Gather: always(gather),
  GatherND: always(gatherNd),
  GatherElements: always(gatherElements),
  OneHot: always(oneHot),
};
