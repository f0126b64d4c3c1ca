/** Operators that compare elements along an axis. The order is decided on the host; the values picked keep their gradient. */
import * as tf from '@tensorflow/tfjs-core';
import { elementCount, intAttribute } from '../graph.ts';
import {
  dimsOf,
  hostValue,
  isHost,
  positiveAxis,
  readStrided,
  stridesOf,
  toDevice,
  toHost,
  type Value,
} from '../value.ts';
import { take } from './gather.ts';
import { always, type Evaluate, input, type OpTable, requiredNumbers } from './op.ts';
import { reshape } from './shape.ts';

/** For each position along the other axes, the indices along `axis` from best to worst; equals in their own order. */
function ranked(value: Value, axis: number, largest: boolean): number[][] {
  const { data, dims } = toHost(value);
  const strides = stridesOf(dims);
  const order = [...dims.map((_, a) => a).filter((a) => a !== axis), axis];
  const rows = readStrided(
    data,
    order.map((a) => dims[a] as number),
    order.map((a) => strides[a] as number),
  );
  const length = dims[axis] as number;
  const sign = largest ? -1 : 1;
  return Array.from({ length: rows.length / length }, (_, r) => {
    const row = rows.subarray(r * length, (r + 1) * length);
    return Array.from(row.keys()).sort((i, j) => sign * ((row[i] as number) - (row[j] as number)) || i - j);
  });
}

/** The k best and where they are. With `sorted` = 0 any order would do; sorted is one. */
const topK: Evaluate = (call) => {
  const x = input(call, 0);
  const dims = dimsOf(x);
  const axis = positiveAxis(intAttribute(call.node, 'axis', -1), dims.length);
  const count = requiredNumbers(call, 1)[0] as number;
  const ranks = ranked(x, axis, intAttribute(call.node, 'largest', 1) === 1);
  const out = dims.map((dim, a) => (a === axis ? count : dim));
  const inner = elementCount(dims.slice(axis + 1));
  const length = dims[axis] as number;
  const indices = new Float64Array(elementCount(out));
  const positions: number[] = [];
  for (let i = 0; i < indices.length; i++) {
    const outer = Math.floor(i / (inner * count));
    const index = ranks[outer * inner + (i % inner)]?.[Math.floor(i / inner) % count] as number;
    indices[i] = index;
    positions.push((outer * length + index) * inner + (i % inner));
  }
  const flat = reshape(x, [elementCount(dims), 1]);
  const values = take(flat, positions, 0, call.gradient[0] === true);
  return [reshape(values, out), hostValue('int64', out, indices)];
};

/** One where the first largest element of the axis is, zero elsewhere. */
const hardmax: Evaluate = (call) => {
  const x = toDevice(input(call, 0));
  const axis = positiveAxis(intAttribute(call.node, 'axis', -1), x.rank);
  if (x.shape[axis] === 1) return tf.onesLike(x);
  const oneHot = tf.cast(tf.oneHot(tf.argMax(x, axis) as tf.Tensor1D, x.shape[axis] as number), 'float32');
  const order = x.shape.map((_, a) => (a < axis ? a : a === axis ? x.rank - 1 : a - 1));
  return tf.transpose(oneHot, order);
};

/** Slices of an axis (of all elements, without one) where the condition holds. */
const compress: Evaluate = (call) => {
  const x = input(call, 0);
  const picked = requiredNumbers(call, 1).flatMap((condition, i) => (condition ? [i] : []));
  const given = call.node.attributes.axis;
  const dims = dimsOf(x);
  const gradient = call.gradient[0] === true;
  if (given?.kind !== 'int') return take(reshape(x, [elementCount(dims)]), picked, 0, gradient);
  return take(x, picked, positiveAxis(given.value, dims.length), gradient);
};

/** ArgMax and ArgMin, of the first or the last of equals. */
function position(largest: boolean): Evaluate {
  return (call) => {
    const x = input(call, 0);
    const dims = dimsOf(x);
    const axis = positiveAxis(intAttribute(call.node, 'axis', 0), dims.length);
    const keep = intAttribute(call.node, 'keepdims', 1) === 1;
    const last = intAttribute(call.node, 'select_last_index', 0) === 1;
    const out = dims.flatMap((dim, a) => (a === axis ? (keep ? [1] : []) : [dim]));
    if (!isHost(x) && !last) return tf.reshape(largest ? tf.argMax(x, axis) : tf.argMin(x, axis), out);
    const { data } = toHost(x);
    const inner = elementCount(dims.slice(axis + 1));
    const length = dims[axis] as number;
    const found = Float64Array.from({ length: elementCount(out) }, (_, i) => {
      const start = Math.floor(i / inner) * length * inner + (i % inner);
      const at = (j: number) => data[start + j * inner] as number;
      let best = 0;
      for (let j = 1; j < length; j++) {
        const ahead = largest ? at(j) - at(best) : at(best) - at(j);
        if (ahead > 0 || (last && ahead === 0)) best = j;
      }
      return best;
    });
    return hostValue('int64', out, found);
  };
}

export const orderOps: OpTable = {
  TopK: always(topK),
  Hardmax: [{ since: 13, evaluate: hardmax }],
  Compress: always(compress),
  ArgMax: always(position(true)),
  ArgMin: always(position(false)),
};
