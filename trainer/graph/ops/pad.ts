/** Padding: by a constant, or by elements picked from the tensor itself. A negative pad crops. */
import * as tf from '@tensorflow/tfjs-core';
import { elementCount, intsAttribute, stringAttribute } from '../graph.ts';
import { dimsOf, type HostValue, hostValue, isHost, positiveAxis, stridesOf, type Value } from '../value.ts';
import { take } from './gather.ts';
import { always, type Evaluate, input, numbers, type OpCall, type OpTable } from './op.ts';
import { sliceAxis } from './slice.ts';

/** Elements added before and after, along one axis. */
export type Around = readonly [before: number, after: number];

/** The element of an axis of `length` that stands at position `at`, which may lie outside. */
const sources: Readonly<Record<string, (at: number, length: number) => number>> = {
  edge: (at, length) => Math.min(Math.max(at, 0), length - 1),
  wrap: (at, length) => ((at % length) + length) % length,
  reflect: (at, length) => {
    const period = Math.max(2 * (length - 1), 1);
    const within = ((at % period) + period) % period;
    return within < length ? within : period - within;
  },
};

const pad: Evaluate = (call) => {
  const value = input(call, 0);
  const around = aroundOf(call, dimsOf(value).length);
  if (around.every(([before, after]) => before === 0 && after === 0)) return value;
  const source = sources[stringAttribute(call.node, 'mode', 'constant')];
  if (source === undefined) {
    const grown = around.map(([before, after]): Around => [Math.max(0, before), Math.max(0, after)]);
    return padConstant(crop(value, around), grown, numbers(call, 2)?.[0] ?? 0);
  }
  return around.reduce<Value>((part, [before, after], axis) => {
    if (before === 0 && after === 0) return part;
    const length = dimsOf(part)[axis] as number;
    const indices = Array.from({ length: before + length + after }, (_, i) => source(i - before, length));
    return take(part, indices, axis, call.gradient[0] === true);
  }, value);
};

function aroundOf(call: OpCall, rank: number): Around[] {
  const pads = numbers(call, 1) ?? intsAttribute(call.node, 'pads')?.slice() ?? [];
  const axes = (numbers(call, 3) ?? Array.from({ length: rank }, (_, axis) => axis)).map((axis) =>
    positiveAxis(axis, rank),
  );
  return Array.from({ length: rank }, (_, axis): Around => {
    const at = axes.indexOf(axis);
    return at < 0 ? [0, 0] : [pads[at] as number, pads[at + axes.length] as number];
  });
}

/** Takes off what is negative in `around`, one entry an axis. */
export function crop(value: Value, around: readonly Around[]): Value {
  return around.reduce<Value>((part, [before, after], axis) => {
    if (before >= 0 && after >= 0) return part;
    const start = Math.max(0, -before);
    const count = (dimsOf(part)[axis] as number) - start - Math.max(0, -after);
    return sliceAxis(part, { axis, start, count, step: 1 });
  }, value);
}

/** Surrounds a tensor by a constant; one entry of `around` an axis, none negative. */
export function padConstant(value: Value, around: readonly Around[], constant: number): Value {
  if (isHost(value)) return padHost(value, around, constant);
  return tf.pad(
    value,
    around.map(([before, after]): [number, number] => [before, after]),
    constant,
  );
}

function padHost(value: HostValue, around: readonly Around[], constant: number): HostValue {
  const out = value.dims.map((dim, axis) => dim + (around[axis]?.[0] ?? 0) + (around[axis]?.[1] ?? 0));
  const data = new Float64Array(elementCount(out)).fill(constant);
  const strides = stridesOf(out);
  const own = stridesOf(value.dims);
  for (let i = 0; i < value.data.length; i++) {
    let to = 0;
    for (let axis = 0; axis < out.length; axis++) {
      const index = Math.floor(i / (own[axis] as number)) % (value.dims[axis] as number);
      to += (index + (around[axis]?.[0] ?? 0)) * (strides[axis] as number);
    }
    data[to] = value.data[i] as number;
  }
  return hostValue(value.dtype, out, data);
}

export const padOps: OpTable = {
  Pad: always(pad, (node) => {
    const mode = stringAttribute(node, 'mode', 'constant');
    return mode === 'constant' || Object.hasOwn(sources, mode) ? undefined : `the padding mode '${mode}'`;
  }),
};
