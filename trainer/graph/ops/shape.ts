/** Operators that move or describe elements without computing on them. */
import * as tf from '@tensorflow/tfjs-core';
import { SppError } from '../../../schema/errors.ts';
import { elementCount, intAttribute, intsAttribute } from '../graph.ts';
import {
  broadcastDims,
  broadcastStrides,
  dimsOf,
  type HostValue,
  hostFromTensor,
  hostValue,
  isHost,
  positiveAxis,
  readStrided,
  stridesOf,
  toDevice,
  toHost,
  type Value,
} from '../value.ts';
import { always, type Evaluate, input, numbers, type OpCall, type OpTable, requiredNumbers } from './op.ts';

/** The same elements under another shape. */
export function reshape(value: Value, dims: readonly number[]): Value {
  return isHost(value) ? hostValue(value.dtype, dims, value.data) : tf.reshape(value, [...dims]);
}

const shape: Evaluate = (call) => {
  const dims = dimsOf(input(call, 0));
  const start = intAttribute(call.node, 'start', 0);
  const end = intAttribute(call.node, 'end', dims.length);
  const part = dims.slice(start, end);
  return hostValue('int64', [part.length], part);
};

const size: Evaluate = (call) => hostValue('int64', [], [elementCount(dimsOf(input(call, 0)))]);

const reshapeOp: Evaluate = (call) => {
  const value = input(call, 0);
  const dims = dimsOf(value);
  const keepZero = intAttribute(call.node, 'allowzero', 0) === 1;
  const asked = requiredNumbers(call, 1).map((dim, axis) =>
    dim === 0 && !keepZero ? (dims[axis] ?? 0) : dim,
  );
  const known = asked.reduce((product, dim) => (dim === -1 ? product : product * dim), 1);
  const out = asked.map((dim) => (dim === -1 ? elementCount(dims) / (known || 1) : dim));
  if (elementCount(out) !== elementCount(dims) || out.some((dim) => !Number.isInteger(dim)))
    throw new SppError('bad-shape', `Node ${call.node.name} cannot reshape [${dims}] to [${asked}].`, {
      hint: 'If a size is fixed in the graph, give inputs of that size.',
    });
  return reshape(value, out);
};

const flatten: Evaluate = (call) => {
  const value = input(call, 0);
  const dims = dimsOf(value);
  const axis = intAttribute(call.node, 'axis', 1);
  const cut = axis < 0 ? axis + dims.length : axis;
  return reshape(value, [elementCount(dims.slice(0, cut)), elementCount(dims.slice(cut))]);
};

/** Axes come as an attribute before opset 13, as an input from then on. */
function axesOf(call: OpCall): number[] | undefined {
  return numbers(call, 1) ?? intsAttribute(call.node, 'axes')?.slice();
}

const squeeze: Evaluate = (call) => {
  const value = input(call, 0);
  const dims = dimsOf(value);
  const axes = axesOf(call)?.map((axis) => positiveAxis(axis, dims.length));
  return reshape(
    value,
    dims.filter((dim, axis) => (axes ? !axes.includes(axis) : dim !== 1)),
  );
};

const unsqueeze: Evaluate = (call) => {
  const value = input(call, 0);
  const axes = axesOf(call) ?? [];
  const rank = dimsOf(value).length + axes.length;
  const inserted = new Set(axes.map((axis) => positiveAxis(axis, rank)));
  const rest = [...dimsOf(value)];
  return reshape(
    value,
    Array.from({ length: rank }, (_, axis) => (inserted.has(axis) ? 1 : (rest.shift() as number))),
  );
};

const transpose: Evaluate = (call) => {
  const value = input(call, 0);
  const rank = dimsOf(value).length;
  return transposed(
    value,
    intsAttribute(call.node, 'perm') ?? Array.from({ length: rank }, (_, axis) => rank - 1 - axis),
  );
};

/** Axis i of the result is axis `order[i]` of the value. */
export function transposed(value: Value, order: readonly number[]): Value {
  const dims = dimsOf(value);
  if (!isHost(value)) return tf.transpose(value, [...order]);
  const strides = stridesOf(dims);
  const out = order.map((axis) => dims[axis] as number);
  const view = order.map((axis) => strides[axis] as number);
  return hostValue(value.dtype, out, readStrided(value.data, out, view));
}

function broadcastHost(value: HostValue, dims: readonly number[]): HostValue {
  return hostValue(value.dtype, dims, readStrided(value.data, dims, broadcastStrides(value.dims, dims)));
}

const expand: Evaluate = (call) => {
  const value = input(call, 0);
  const dims = broadcastDims(dimsOf(value), requiredNumbers(call, 1));
  return isHost(value) ? broadcastHost(value, dims) : tf.broadcastTo(value, dims);
};

const tile: Evaluate = (call) => {
  const value = input(call, 0);
  const repeats = requiredNumbers(call, 1);
  if (!isHost(value)) return tf.tile(value, repeats);
  // [a, b] tiled is [1, a, 1, b] broadcast to [ra, a, rb, b].
  const split = hostValue(
    value.dtype,
    value.dims.flatMap((dim) => [1, dim]),
    value.data,
  );
  const wide = broadcastHost(
    split,
    value.dims.flatMap((dim, axis) => [repeats[axis] as number, dim]),
  );
  return hostValue(
    value.dtype,
    value.dims.map((dim, axis) => dim * (repeats[axis] as number)),
    wide.data,
  );
};

const concat: Evaluate = (call) => {
  const values = call.inputs.filter((value) => value !== undefined);
  const rank = dimsOf(input(call, 0)).length;
  const axis = positiveAxis(intAttribute(call.node, 'axis', 0), rank);
  if (!values.every(isHost)) return tf.concat(values.map(toDevice), axis);
  const [first] = values as [HostValue];
  const width = values.map((value) => elementCount(value.dims.slice(axis)));
  const row = width.reduce((a, b) => a + b, 0);
  const rows = elementCount(first.dims.slice(0, axis));
  const out = new Float64Array(rows * row);
  let column = 0;
  values.forEach((value, which) => {
    const own = width[which] as number;
    for (let r = 0; r < rows; r++) out.set(value.data.subarray(r * own, (r + 1) * own), r * row + column);
    column += own;
  });
  const joined = values.reduce((sum, value) => sum + (value.dims[axis] as number), 0);
  return hostValue(
    first.dtype,
    first.dims.map((dim, a) => (a === axis ? joined : dim)),
    out,
  );
};

const constantOfShape: Evaluate = (call) => {
  const dims = requiredNumbers(call, 0);
  const attribute = call.node.attributes.value;
  const fill =
    attribute?.kind === 'tensor' ? hostFromTensor(attribute.value) : hostValue('float32', [1], [0]);
  return hostValue(fill.dtype, dims, new Float64Array(elementCount(dims)).fill(fill.data[0] as number));
};

const range: Evaluate = (call) => {
  const [start, limit, delta] = [0, 1, 2].map((i) => requiredNumbers(call, i)[0] as number) as [
    number,
    number,
    number,
  ];
  const count = Math.max(0, Math.ceil((limit - start) / delta));
  const { dtype } = toHost(input(call, 0));
  return hostValue(
    dtype,
    [count],
    Float64Array.from({ length: count }, (_, i) => start + i * delta),
  );
};

/** Upper or lower triangle; what lies outside becomes zero. */
const trilu: Evaluate = (call) => {
  const value = input(call, 0);
  const dims = dimsOf(value);
  const offset = numbers(call, 1)?.[0] ?? 0;
  const upper = intAttribute(call.node, 'upper', 1) === 1;
  const [rows, columns] = dims.slice(-2) as [number, number];
  const inside = (i: number) => {
    const distance = (i % columns) - Math.floor((i % (rows * columns)) / columns) - offset;
    return upper ? distance >= 0 : distance <= 0;
  };
  if (isHost(value))
    return hostValue(
      value.dtype,
      dims,
      value.data.map((x, i) => (inside(i) ? x : 0)),
    );
  const keep = Float64Array.from({ length: rows * columns }, (_, i) => (inside(i) ? 1 : 0));
  const zeros = hostValue('float32', [1], [0]);
  return tf.where(toDevice(hostValue('bool', [rows, columns], keep)), value, toDevice(zeros));
};

export const shapeOps: OpTable = {
  Shape: always(shape),
  Size: always(size),
  Reshape: always(reshapeOp),
  Flatten: always(flatten),
  Squeeze: always(squeeze),
  Unsqueeze: always(unsqueeze),
  Transpose: always(transpose),
  Expand: always(expand),
  Tile: always(tile),
  Concat: always(concat),
  ConstantOfShape: always(constantOfShape),
  Range: always(range),
  Trilu: always(trilu),
};
