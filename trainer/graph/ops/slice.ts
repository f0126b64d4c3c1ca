/** Operators that cut along axes; the device forms are made of what has a gradient on every backend. */
import * as tf from '@tensorflow/tfjs-core';
import { intAttribute, intsAttribute } from '../graph.ts';
import { dimsOf, hostValue, isHost, positiveAxis, readStrided, stridesOf, type Value } from '../value.ts';
import { always, type Evaluate, input, numbers, type OpTable } from './op.ts';

interface Range {
  readonly axis: number;
  readonly start: number;
  readonly count: number;
  readonly step: number;
}

/** A slice along one axis, on host or device; the device form is made of operations that have gradients on every backend. */
export function sliceAxis(value: Value, { axis, start, count, step }: Range): Value {
  const dims = dimsOf(value);
  const out = dims.map((dim, a) => (a === axis ? count : dim));
  if (isHost(value)) {
    const strides = stridesOf(dims);
    const view = strides.map((stride, a) => (a === axis ? stride * step : stride));
    return hostValue(value.dtype, out, readStrided(value.data, out, view, start * (strides[axis] as number)));
  }
  const span = (count - 1) * Math.abs(step) + 1;
  const first = step > 0 ? start : start - span + 1;
  if (count === 0) return tf.slice(value, begins(dims, axis, 0), out);
  const part = tf.slice(
    value,
    begins(dims, axis, first),
    out.map((d, a) => (a === axis ? span : d)),
  );
  const forward = step > 0 ? part : tf.reverse(part, axis);
  return Math.abs(step) === 1 ? forward : everyNth(forward, axis, count, Math.abs(step));
}

function begins(dims: readonly number[], axis: number, start: number): number[] {
  return dims.map((_, a) => (a === axis ? start : 0));
}

/** Every `step`-th element of an axis: pad to whole steps, fold the steps into an axis of their own, take its first. */
function everyNth(x: tf.Tensor, axis: number, count: number, step: number): tf.Tensor {
  const missing = count * step - (x.shape[axis] as number);
  const padded =
    missing === 0
      ? x
      : tf.pad(
          x,
          x.shape.map((_, a) => [0, a === axis ? missing : 0]),
        );
  const folded = tf.reshape(padded, [...x.shape.slice(0, axis), count, step, ...x.shape.slice(axis + 1)]);
  const size = folded.shape.map((dim, a) => (a === axis + 1 ? 1 : dim));
  return tf.squeeze(
    tf.slice(
      folded,
      folded.shape.map(() => 0),
      size,
    ),
    [axis + 1],
  );
}

const slice: Evaluate = (call) => {
  const value = input(call, 0);
  const dims = dimsOf(value);
  const { node } = call;
  const starts = numbers(call, 1) ?? intsAttribute(node, 'starts')?.slice() ?? [];
  const ends = numbers(call, 2) ?? intsAttribute(node, 'ends')?.slice() ?? [];
  const axes = numbers(call, 3) ?? intsAttribute(node, 'axes')?.slice() ?? starts.map((_, axis) => axis);
  const steps = numbers(call, 4) ?? starts.map(() => 1);
  return axes.reduce<Value>((part, given, i) => {
    const axis = positiveAxis(given, dims.length);
    const length = dims[axis] as number;
    const step = steps[i] as number;
    const clamp = (at: number, low: number, high: number) =>
      Math.min(Math.max(at < 0 ? at + length : at, low), high);
    const start =
      step > 0 ? clamp(starts[i] as number, 0, length) : clamp(starts[i] as number, 0, length - 1);
    const end = step > 0 ? clamp(ends[i] as number, 0, length) : clamp(ends[i] as number, -1, length - 1);
    const count = Math.max(0, Math.ceil((end - start) / step));
    return start === 0 && count === length && step === 1
      ? part
      : sliceAxis(part, { axis, start, count, step });
  }, value);
};

const split: Evaluate = (call) => {
  const value = input(call, 0);
  const dims = dimsOf(value);
  const axis = positiveAxis(intAttribute(call.node, 'axis', 0), dims.length);
  const length = dims[axis] as number;
  const parts = call.node.outputs.length;
  // Without sizes: equal parts, the last one smaller where they do not divide (opset 18).
  const even = Math.ceil(length / parts);
  const sizes =
    numbers(call, 1) ??
    intsAttribute(call.node, 'split') ??
    Array.from({ length: parts }, (_, i) => Math.min(even, length - i * even));
  let start = 0;
  return sizes.map((count) => {
    const part = sliceAxis(value, { axis, start, count, step: 1 });
    start += count;
    return part;
  });
};

export const sliceOps: OpTable = {
  Slice: always(slice),
  Split: always(split),
};
