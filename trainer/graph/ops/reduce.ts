/** Operators that fold axes away: sums, means, extremes, norms; and running sums. */
import * as tf from '@tensorflow/tfjs-core';
import { type Dtype, elementCount, intAttribute, intsAttribute } from '../graph.ts';
import {
  dimsOf,
  type HostValue,
  hostValue,
  isHost,
  positiveAxis,
  readStrided,
  stridesOf,
  toHost,
} from '../value.ts';
import { always, type Evaluate, input, numbers, type OpCall, type OpTable, requiredNumbers } from './op.ts';

type Device = (x: tf.Tensor, axes: number[], keepDims: boolean) => tf.Tensor;

/** Axes come as an attribute or, from opset 13 (ReduceSum) or 18 (the others) on, as an input. */
function reducedAxes(call: OpCall, rank: number): number[] {
  const given = numbers(call, 1) ?? intsAttribute(call.node, 'axes')?.slice();
  if (given && given.length > 0) return given.map((axis) => positiveAxis(axis, rank));
  return intAttribute(call.node, 'noop_with_empty_axes', 0) === 1
    ? []
    : Array.from({ length: rank }, (_, axis) => axis);
}

/** Brings the reduced axes to the end: one row per result element. */
function rowsOf(value: HostValue, axes: readonly number[]): { rows: Float64Array; width: number } {
  const strides = stridesOf(value.dims);
  const order = [...value.dims.map((_, a) => a).filter((a) => !axes.includes(a)), ...axes];
  const rows = readStrided(
    value.data,
    order.map((a) => value.dims[a] as number),
    order.map((a) => strides[a] as number),
  );
  return { rows, width: elementCount(axes.map((a) => value.dims[a] as number)) };
}

function reduce(host: (row: Float64Array) => number, device: Device): Evaluate {
  return (call) => {
    const x = input(call, 0);
    const dims = dimsOf(x);
    const axes = reducedAxes(call, dims.length);
    const keep = intAttribute(call.node, 'keepdims', 1) === 1;
    if (axes.length === 0) return x;
    // Some backends leave the result of reducing nothing unset.
    const empty = elementCount(dims) === 0;
    if (!isHost(x) && !empty) return device(x, axes, keep);
    const { rows, width } = rowsOf(toHost(x), axes);
    const out = dims.flatMap((dim, axis) => (axes.includes(axis) ? (keep ? [1] : []) : [dim]));
    const data = Float64Array.from({ length: elementCount(out) }, (_, i) =>
      host(rows.subarray(i * width, (i + 1) * width)),
    );
    return hostValue(x.dtype as Dtype, out, x.dtype === 'float32' ? data.map(Math.fround) : data);
  };
}

const sum = (row: Float64Array) => row.reduce((a, b) => a + b, 0);

/** The slope of a vector of zeros is 0, as PyTorch has it: that of the root is infinite, which times 0 is no number. */
const length: Device = (x, axes, keep) => {
  const squares = tf.sum(tf.square(x), axes, keep);
  const isZero = tf.equal(squares, 0);
  return tf.where(isZero, squares, tf.sqrt(tf.where(isZero, tf.onesLike(squares), squares)));
};

const cumulativeSum: Evaluate = (call) => {
  const x = input(call, 0);
  const dims = dimsOf(x);
  const axis = positiveAxis(requiredNumbers(call, 1)[0] as number, dims.length);
  const exclusive = intAttribute(call.node, 'exclusive', 0) === 1;
  const reverse = intAttribute(call.node, 'reverse', 0) === 1;
  if (!isHost(x)) return tf.cumsum(x, axis, exclusive, reverse);
  const stride = stridesOf(dims)[axis] as number;
  const length = dims[axis] as number;
  const out = new Float64Array(x.data.length);
  for (let start = 0; start < out.length; start++) {
    if (Math.floor(start / stride) % length !== 0) continue;
    let total = 0;
    for (let j = 0; j < length; j++) {
      const at = start + (reverse ? length - 1 - j : j) * stride;
      if (exclusive) out[at] = total;
      total += x.data[at] as number;
      if (!exclusive) out[at] = total;
    }
  }
  return hostValue(x.dtype, dims, out);
};

/** Coordinates of the elements that are not zero, one column each: [rank, found]. */
const nonZero: Evaluate = (call) => {
  const x = toHost(input(call, 0));
  const strides = stridesOf(x.dims);
  const found = Array.from(x.data.keys()).filter((i) => x.data[i] !== 0);
  const data = x.dims.flatMap((dim, axis) =>
    found.map((i) => Math.floor(i / (strides[axis] as number)) % dim),
  );
  return hostValue('int64', [x.dims.length, found.length], data);
};

export const reduceOps: OpTable = {
  ReduceSum: always(reduce(sum, (x, axes, keep) => tf.sum(x, axes, keep))),
  ReduceMean: always(
    reduce(
      (row) => sum(row) / row.length,
      (x, axes, keep) => tf.mean(x, axes, keep),
    ),
  ),
  ReduceMax: always(
    reduce(
      (row) => Math.max(...row),
      (x, axes, keep) => tf.max(x, axes, keep),
    ),
  ),
  ReduceMin: always(
    reduce(
      (row) => Math.min(...row),
      (x, axes, keep) => tf.min(x, axes, keep),
    ),
  ),
  ReduceProd: always(
    reduce(
      (row) => row.reduce((a, b) => a * b, 1),
      (x, axes, keep) => tf.prod(x, axes, keep),
    ),
  ),
  ReduceSumSquare: always(
    reduce(
      (row) => sum(row.map((x) => x * x)),
      (x, axes, keep) => tf.sum(tf.square(x), axes, keep),
    ),
  ),
  ReduceL1: always(
    reduce(
      (row) => sum(row.map(Math.abs)),
      (x, axes, keep) => tf.sum(tf.abs(x), axes, keep),
    ),
  ),
  ReduceL2: always(reduce((row) => Math.sqrt(sum(row.map((x) => x * x))), length)),
  ReduceLogSum: always(
    reduce(
      (row) => Math.log(sum(row)),
      (x, axes, keep) => tf.log(tf.sum(x, axes, keep)),
    ),
  ),
  ReduceLogSumExp: always(
    reduce(
      (row) => Math.log(sum(row.map(Math.exp))),
      (x, axes, keep) => tf.logSumExp(x, axes, keep),
    ),
  ),
  CumSum: always(cumulativeSum),
  NonZero: always(nonZero),
};
