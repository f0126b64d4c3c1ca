/**
 * Operators that write at indices. Indices are host numbers, so writing is picking: each element comes from the data or from its
 * updates, one after the other, which has a gradient in both.
 */
import * as tf from '@tensorflow/tfjs-core';
import { SppError } from '../../../schema/errors.ts';
import { elementCount, type GraphNode, intAttribute, stringAttribute } from '../graph.ts';
import {
  dimsOf,
  hostValue,
  isHost,
  positiveAxis,
  stridesOf,
  toDevice,
  toHost,
  type Value,
} from '../value.ts';
import { layersOf, take } from './gather.ts';
import { always, type Evaluate, input, type OpCall, type OpTable } from './op.ts';
import { reshape } from './shape.ts';

interface Reduction {
  readonly host: (old: number, update: number) => number;
  readonly device: (old: tf.Tensor, update: tf.Tensor) => tf.Tensor;
  /** Changes nothing as an update. */
  readonly neutral: number;
}

const reductions: Readonly<Record<string, Reduction>> = {
  add: { host: (a, b) => a + b, device: tf.add, neutral: 0 },
  mul: { host: (a, b) => a * b, device: tf.mul, neutral: 1 },
  max: { host: Math.max, device: tf.maximum, neutral: Number.NEGATIVE_INFINITY },
  min: { host: Math.min, device: tf.minimum, neutral: Number.POSITIVE_INFINITY },
};

const knownReduction = (node: GraphNode) => {
  const name = stringAttribute(node, 'reduction', 'none');
  return name === 'none' || Object.hasOwn(reductions, name) ? undefined : `the reduction '${name}'`;
};

/** Writes update row i, [count, inner], to row `rows[i]` of [length, inner]; without a reduction the last one stays. */
function scatterRows(call: OpCall, data: Value, updates: Value, rows: readonly number[]): Value {
  const name = stringAttribute(call.node, 'reduction', 'none');
  const reduction = reductions[name];
  const [length, inner] = dimsOf(data) as [number, number];
  if (isHost(data) && isHost(updates)) {
    const out = data.data.slice();
    rows.forEach((row, i) => {
      for (let j = 0; j < inner; j++) {
        const update = updates.data[i * inner + j] as number;
        out[row * inner + j] = reduction ? reduction.host(out[row * inner + j] as number, update) : update;
      }
    });
    return hostValue(data.dtype, data.dims, out);
  }
  const [old, fresh] = [toDevice(data), toDevice(updates)];
  const gradient = call.gradient.includes(true);
  if (!reduction) {
    const source = Array.from({ length }, (_, row) => row);
    rows.forEach((row, i) => {
      source[row] = length + i;
    });
    return take(tf.concat([old, fresh], 0), source, 0, gradient);
  }
  const padded = tf.concat([fresh, tf.fill([1, inner], reduction.neutral, old.dtype as 'float32')], 0);
  return layersOf(rows, length).reduce<tf.Tensor>((sum, layer) => {
    const source = layer.map((i) => i ?? rows.length);
    return reduction.device(sum, take(padded, source, 0, gradient) as tf.Tensor);
  }, old);
}

/** Rows of `updates` at full index tuples: data [i0, ..., rest...], indices [..., k], updates [..., rest...]. */
const scatterNd: Evaluate = (call) => {
  const data = input(call, 0);
  const indices = toHost(input(call, 1));
  const dims = dimsOf(data);
  const depth = indices.dims.at(-1) as number;
  const strides = stridesOf(dims.slice(0, depth));
  const inner = elementCount(dims.slice(depth));
  const rows = Array.from({ length: elementCount(indices.dims.slice(0, -1)) }, (_, t) =>
    strides.reduce((row, stride, d) => {
      const index = wrapped(call, indices.data[t * depth + d] as number, dims[d] as number);
      return row + index * stride;
    }, 0),
  );
  const flat = reshape(data, [elementCount(dims.slice(0, depth)), inner]);
  const updates = reshape(input(call, 2), [rows.length, inner]);
  return reshape(scatterRows(call, flat, updates, rows), dims);
};

/** data[index[i][j]][j] = updates[i][j] along `axis`. */
const scatterElements: Evaluate = (call) => {
  const data = input(call, 0);
  const indices = toHost(input(call, 1));
  const dims = dimsOf(data);
  const axis = positiveAxis(intAttribute(call.node, 'axis', 0), dims.length);
  const strides = stridesOf(dims);
  const own = stridesOf(indices.dims);
  const rows = Array.from(indices.data, (index, i) =>
    strides.reduce((position, stride, a) => {
      const along = Math.floor(i / (own[a] as number)) % (indices.dims[a] as number);
      return position + stride * (a === axis ? wrapped(call, index, dims[axis] as number) : along);
    }, 0),
  );
  const updates = reshape(input(call, 2), [rows.length, 1]);
  return reshape(scatterRows(call, reshape(data, [elementCount(dims), 1]), updates, rows), dims);
};

function wrapped(call: OpCall, index: number, length: number): number {
  const positive = index < 0 ? index + length : index;
  if (positive >= 0 && positive < length) return positive;
  throw new SppError('bad-model', `Node ${call.node.name} writes at ${index} of an axis of ${length}.`, {
    hint: 'Check that the inputs have the sizes the model was exported for.',
  });
}

export const scatterOps: OpTable = {
  ScatterND: always(scatterNd, knownReduction),
  ScatterElements: always(scatterElements, knownReduction),
};
