/**
 * Resize, axis by axis: a result element is a weighted sum of elements along the axis, so each axis is one product with a constant
 * matrix [out, in]; nearest neighbours alone are picked.
 */
import * as tf from '@tensorflow/tfjs-core';
import { floatAttribute, type GraphNode, intAttribute, intsAttribute, stringAttribute } from '../graph.ts';
import { dimsOf, isHost, positiveAxis, toDevice, type Value } from '../value.ts';
import { take } from './gather.ts';
import { matmul } from './linear.ts';
import { type Evaluate, input, numbers, type OpCall, type OpTable } from './op.ts';

/** What happens along one axis. */
interface Stretch {
  readonly axis: number;
  readonly length: number;
  readonly count: number;
  readonly scale: number;
  /** Part of the axis that is looked at, as fractions of it. */
  readonly roi: readonly [start: number, end: number];
}

/** Where in the axis result element `i` looks, by coordinate_transformation_mode. */
const coordinates: Readonly<Record<string, (i: number, stretch: Stretch) => number>> = {
  half_pixel: (i, { scale }) => (i + 0.5) / scale - 0.5,
  half_pixel_symmetric: (i, { scale, length, count }) =>
    (length / 2) * (1 - count / (scale * length)) + (i + 0.5) / scale - 0.5,
  pytorch_half_pixel: (i, { scale, length }) => (scale * length === 1 ? -0.5 : (i + 0.5) / scale - 0.5),
  asymmetric: (i, { scale }) => i / scale,
  tf_half_pixel_for_nn: (i, { scale }) => (i + 0.5) / scale,
  align_corners: (i, { scale, length }) =>
    scale * length === 1 ? 0 : (i * (length - 1)) / (scale * length - 1),
  tf_crop_and_resize: (i, { scale, length, roi: [start, end] }) =>
    scale * length === 1
      ? ((start + end) * (length - 1)) / 2
      : start * (length - 1) + (i * (end - start) * (length - 1)) / (scale * length - 1),
};

/** The whole coordinate that a fractional one stands for. */
const roundings: Readonly<Record<string, (x: number) => number>> = {
  round_prefer_floor: (x) => Math.ceil(x - 0.5),
  round_prefer_ceil: (x) => Math.floor(x + 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
};

interface Kernel {
  /** Distance from which on the weight is zero. */
  readonly reach: number;
  readonly weight: (distance: number) => number;
}

function kernelOf(node: GraphNode): Kernel {
  if (modeOf(node) === 'linear') return { reach: 1, weight: (d) => Math.max(0, 1 - Math.abs(d)) };
  // Keys' cubic convolution.
  const a = floatAttribute(node, 'cubic_coeff_a', -0.75);
  const weight = (distance: number) => {
    const d = Math.abs(distance);
    if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
  };
  return { reach: 2, weight };
}

const modeOf = (node: GraphNode) => stringAttribute(node, 'mode', 'nearest');

const resize: Evaluate = (call) => {
  const { node } = call;
  const value = input(call, 0);
  const nearest = modeOf(node) === 'nearest';
  const resized = stretchesOf(call, dimsOf(value)).reduce<Value>((part, stretch) => {
    const { axis, length, count, roi, scale } = stretch;
    if (scale === 1 && count === length && roi[0] === 0 && roi[1] === 1) return part;
    if (nearest) return take(part, nearestIndices(node, stretch), axis, call.gradient[0] === true);
    return interpolated(toDevice(part), node, stretch, call.gradient[0] === true);
  }, value);
  return isHost(value) && !isHost(resized) ? tf.cast(resized, 'float32') : resized;
};

/** How an axis is stretched: result element j is the sum of element i times weights[i, j]. */
export interface StretchMatrix {
  readonly axis: number;
  readonly length: number;
  readonly count: number;
  /** [length, count], row-major. */
  readonly weights: Float32Array;
}

/**
 * The matrices by which a Resize multiplies the axes that it changes.
 * @param dims of the input; undefined where the length is not known
 * @param steering contents of the inputs behind the first: roi, scales, sizes; empty where absent
 * @returns undefined when an axis of unknown length would have to be changed
 */
export function stretchMatrices(
  node: GraphNode,
  dims: readonly (number | undefined)[],
  steering: readonly (readonly number[])[],
): StretchMatrix[] | undefined {
  const sized = (steering[2]?.length ?? 0) > 0;
  if (sized && dims.includes(undefined)) return undefined;
  // Any length does for an axis that is scaled by 1: it is left alone.
  const lengths = dims.map((length) => length ?? 1);
  const changed = stretches(node, lengths, (index) => steering[index - 1]).filter(
    ({ scale, count, length, roi: [start, end] }) =>
      scale !== 1 || count !== length || start !== 0 || end !== 1,
  );
  if (changed.some(({ axis }) => dims[axis] === undefined)) return undefined;
  return changed.map((stretch) => {
    const { axis, length, count } = stretch;
    if (modeOf(node) !== 'nearest')
      return { axis, length, count, weights: interpolation(node, stretch).weights };
    const weights = new Float32Array(length * count);
    for (const [to, from] of nearestIndices(node, stretch).entries()) weights[from * count + to] = 1;
    return { axis, length, count, weights };
  });
}

const stretchesOf = (call: OpCall, dims: readonly number[]): Stretch[] =>
  stretches(call.node, dims, (index) => numbers(call, index));

/** Axes to work on, from scales or sizes, whichever is given. */
function stretches(
  node: GraphNode,
  dims: readonly number[],
  contents: (index: number) => readonly number[] | undefined,
): Stretch[] {
  const axes = (intsAttribute(node, 'axes') ?? dims.map((_, axis) => axis)).map((axis) =>
    positiveAxis(axis, dims.length),
  );
  const given = (index: number) => {
    const values = contents(index);
    return values && values.length > 0 ? values : undefined;
  };
  const roi = given(1);
  const scales = given(2);
  const sizes = given(3);
  const ratios = axes.map((axis, i) => scales?.[i] ?? (sizes?.[i] as number) / (dims[axis] as number));
  const policy = stringAttribute(node, 'keep_aspect_ratio_policy', 'stretch');
  const kept =
    policy === 'not_larger' ? Math.min(...ratios) : policy === 'not_smaller' ? Math.max(...ratios) : 0;
  const crop = stringAttribute(node, 'coordinate_transformation_mode', '') === 'tf_crop_and_resize';
  return axes.map((axis, i) => {
    const length = dims[axis] as number;
    const aspect = scales === undefined && kept > 0;
    const scale = aspect ? kept : (ratios[i] as number);
    const size = aspect ? Math.floor(scale * length + 0.5) : (sizes?.[i] as number);
    const count = scales === undefined ? size : Math.floor(scale * length);
    const part = [roi?.[i] ?? 0, roi?.[i + axes.length] ?? 1] as const;
    return { axis, length, count, scale, roi: crop ? part : [0, 1] };
  });
}

function coordinate(node: GraphNode, i: number, stretch: Stretch): number {
  const mode = stringAttribute(node, 'coordinate_transformation_mode', 'half_pixel');
  return (coordinates[mode] as (typeof coordinates)[string])(i, stretch);
}

function nearestIndices(node: GraphNode, stretch: Stretch): number[] {
  const rounding = roundings[stringAttribute(node, 'nearest_mode', 'round_prefer_floor')] as (
    x: number,
  ) => number;
  return Array.from({ length: stretch.count }, (_, i) =>
    Math.min(Math.max(rounding(coordinate(node, i, stretch)), 0), stretch.length - 1),
  );
}

/** Weights [length, count], and what is there beside them where a crop looks outside of the axis. */
function interpolation(
  node: GraphNode,
  stretch: Stretch,
): { readonly weights: Float32Array; readonly outside: Float32Array } {
  const { length, count, roi } = stretch;
  const kernel = kernelOf(node);
  const weights = new Float32Array(length * count); // [length, count]
  const outside = new Float32Array(count);
  const cropping = roi[0] !== 0 || roi[1] !== 1;
  for (let i = 0; i < count; i++) {
    const at = coordinate(node, i, stretch);
    if (cropping && (at < 0 || at > length - 1)) {
      outside[i] = floatAttribute(node, 'extrapolation_value', 0);
      continue;
    }
    for (const [index, weight] of weightsAt(at, node, kernel, stretch)) {
      const to = index * count + i;
      weights[to] = (weights[to] as number) + weight;
    }
  }
  return { weights, outside };
}

function interpolated(x: tf.Tensor, node: GraphNode, stretch: Stretch, gradient: boolean): tf.Tensor {
  const { axis, length, count } = stretch;
  const { weights, outside } = interpolation(node, stretch);
  const order = [...x.shape.map((_, a) => a).filter((a) => a !== axis), axis];
  const product = matmul(tf.transpose(x, order), tf.tensor2d(weights, [length, count]), [gradient, false]);
  const shifted = outside.some((value) => value !== 0) ? tf.add(product, tf.tensor1d(outside)) : product;
  return tf.transpose(
    shifted,
    order.map((_, a) => order.indexOf(a)),
  );
}

/** Elements and their weights around a coordinate; what lies outside is the edge's, or nothing with `exclude_outside`. */
function weightsAt(
  at: number,
  node: GraphNode,
  { reach, weight }: Kernel,
  { length, scale }: Stretch,
): [number, number][] {
  // Shrinking with antialias widens the kernel, so that every element counts.
  const narrow = intAttribute(node, 'antialias', 0) === 1 ? Math.min(scale, 1) : 1;
  const exclude = intAttribute(node, 'exclude_outside', 0) === 1;
  const found: [number, number][] = [];
  for (let index = Math.floor(at - reach / narrow); index <= Math.ceil(at + reach / narrow); index++) {
    if (exclude && (index < 0 || index >= length)) continue;
    found.push([Math.min(Math.max(index, 0), length - 1), weight((index - at) * narrow)]);
  }
  const total = found.reduce((sum, [, own]) => sum + own, 0) || 1;
  return found.map(([index, own]) => [index, own / total]);
}

const unsupported = (node: GraphNode) => {
  const mode = modeOf(node);
  const transformation = stringAttribute(node, 'coordinate_transformation_mode', 'half_pixel');
  if (!['nearest', 'linear', 'cubic'].includes(mode)) return `the mode '${mode}'`;
  return Object.hasOwn(coordinates, transformation) ? undefined : `the transformation '${transformation}'`;
};

export const resizeOps: OpTable = {
  Resize: [{ since: 11, evaluate: resize, unsupported }],
};
