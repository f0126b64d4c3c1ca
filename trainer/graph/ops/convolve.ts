/** Convolutions over [N, C, ...], any number of axes. One that cuts into patches, as ViTs do, is a single matrix product. */
import * as tf from '@tensorflow/tfjs-core';
import { type GraphNode, intAttribute, intsAttribute, stringAttribute } from '../graph.ts';
import { toDevice } from '../value.ts';
import { product2d, type Sides } from './linear.ts';
import { always, type Evaluate, input, type OpCall, type OpTable } from './op.ts';
import { type Around, padConstant } from './pad.ts';
import { sliceAxis } from './slice.ts';

/** How a filter moves: one entry a spatial axis. */
export interface Geometry {
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Before and after. */
  readonly pads: readonly Around[];
  readonly groups: number;
}

/** Of two spatial axes, with the filter's lengths. */
interface Planar {
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  readonly pads: readonly [[number, number], [number, number]];
  readonly groups: number;
}

/** @param spatial lengths of the input's spatial axes, @param kernel of the filter's */
export function geometryOf(node: GraphNode, spatial: readonly number[], kernel: readonly number[]): Geometry {
  const ones = spatial.map(() => 1);
  const strides = intsAttribute(node, 'strides') ?? ones;
  const dilations = intsAttribute(node, 'dilations') ?? ones;
  const explicit = intsAttribute(node, 'pads') ?? spatial.flatMap(() => [0, 0]);
  const auto = stringAttribute(node, 'auto_pad', 'NOTSET');
  const pads = spatial.map((size, side): Around => {
    if (auto === 'VALID') return [0, 0];
    if (auto === 'NOTSET') return [explicit[side] as number, explicit[side + spatial.length] as number];
    const stride = strides[side] as number;
    const reach = ((kernel[side] as number) - 1) * (dilations[side] as number) + 1;
    return evenly(Math.max(0, (Math.ceil(size / stride) - 1) * stride + reach - size), auto);
  });
  return { strides, dilations, pads, groups: intAttribute(node, 'group', 1) };
}

/** So much padding for both ends; an odd one more behind, or before where `auto` says SAME_LOWER. */
export function evenly(total: number, auto: string): Around {
  const less = Math.floor(total / 2);
  return auto === 'SAME_UPPER' ? [less, total - less] : [total - less, less];
}

const conv: Evaluate = (call) => {
  const x = toDevice(input(call, 0));
  const w = toDevice(input(call, 1));
  const geometry = geometryOf(call.node, x.shape.slice(2), w.shape.slice(2));
  return withBias(call, convolution(x, w, geometry, [call.gradient[0] === true, call.gradient[1] === true]));
};

/** [N, C, ...] plus input 2, where there is one: a number a channel. */
export function withBias({ inputs: [, , bias] }: OpCall, y: tf.Tensor): tf.Tensor {
  return bias === undefined
    ? y
    : tf.add(y, tf.reshape(toDevice(bias), [-1, ...y.shape.slice(2).map(() => 1)]));
}

/**
 * Over any number of spatial axes. With more than two it is a sum over the first one's taps of convolutions over the others, in
 * which the places along the first are examples like any other.
 * @param x [N, C, ...]
 * @param w [O, C / groups, ...]
 * @returns [N, O, ...]
 */
export function convolution(x: tf.Tensor, w: tf.Tensor, geometry: Geometry, sides: Sides): tf.Tensor {
  const { strides, dilations, pads, groups } = geometry;
  if (x.rank === 3) {
    const flat = {
      groups,
      strides: [1, ...strides],
      dilations: [1, ...dilations],
      pads: [[0, 0], ...pads] as const,
    };
    return tf.squeeze(convolution(tf.expandDims(x, 2), tf.expandDims(w, 2), flat, sides), [2]);
  }
  if (x.rank === 4) return planar(x as tf.Tensor4D, w as tf.Tensor4D, geometry, sides);
  const [[n = 1, , ...spatial], [, , taps = 1]] = [x.shape, w.shape];
  const [[stride = 1], [dilation = 1], [around = [0, 0] as const]] = [strides, dilations, pads];
  const padded = padConstant(x, [[0, 0], [0, 0], around, ...spatial.slice(1).map(() => [0, 0] as const)], 0);
  const length = (spatial[0] ?? 0) + around[0] + around[1];
  const count = Math.floor((length - (taps - 1) * dilation - 1) / stride) + 1;
  const rest = { groups, strides: strides.slice(1), dilations: dilations.slice(1), pads: pads.slice(1) };
  const others = spatial.slice(1).map((_, i) => i + 3);
  const parts = Array.from({ length: taps }, (_, tap) => {
    const seen = sliceAxis(padded, { axis: 2, start: tap * dilation, count, step: stride }) as tf.Tensor;
    const examples = tf.reshape(tf.transpose(seen, [0, 2, 1, ...others]), [
      n * count,
      -1,
      ...spatial.slice(1),
    ]);
    const filter = sliceAxis(w, { axis: 2, start: tap, count: 1, step: 1 }) as tf.Tensor;
    return convolution(examples, tf.squeeze(filter, [2]), rest, sides);
  });
  const sum = parts.reduce((a, b) => tf.add(a, b)); // [N * count, O, ...]
  return tf.transpose(tf.reshape(sum, [n, count, ...sum.shape.slice(1)]), [0, 2, 1, ...others]);
}

function planar(x: tf.Tensor4D, w: tf.Tensor4D, { groups, ...moves }: Geometry, sides: Sides): tf.Tensor {
  const geometry: Planar = {
    kernel: [w.shape[2], w.shape[3]],
    strides: moves.strides as [number, number],
    dilations: moves.dilations as [number, number],
    pads: moves.pads.map(([before, after]) => [before, after]) as [[number, number], [number, number]],
    groups,
  };
  const y = cutsPatches(geometry)
    ? patchProduct(x, w, geometry, sides)
    : sides[1] || (sides[0] && !hasInputGradient(geometry, x))
      ? unfoldedProduct(x, w, geometry, sides)
      : convolve(x, w, geometry); // [N, H', W', O]
  return tf.transpose(y, [0, 3, 1, 2]);
}

function cutsPatches({ kernel, strides, dilations, pads, groups }: Planar): boolean {
  return (
    groups === 1 &&
    kernel.every((size, side) => size === strides[side]) &&
    dilations.every((dilation) => dilation === 1) &&
    pads.flat().every((pad) => pad === 0)
  );
}

function patchProduct(x: tf.Tensor4D, w: tf.Tensor4D, { kernel: [kh, kw] }: Planar, sides: Sides) {
  const [n, c] = x.shape;
  const [rows, columns] = [Math.floor(x.shape[2] / kh), Math.floor(x.shape[3] / kw)];
  const fits = rows * kh === x.shape[2] && columns * kw === x.shape[3];
  const whole = fits ? x : tf.slice(x, [0, 0, 0, 0], [n, c, rows * kh, columns * kw]);
  const split = tf.reshape(whole, [n * c, rows, kh, columns, kw]);
  const apart = tf.transpose(split, [0, 1, 3, 2, 4]); // [N * C, rows, columns, kh, kw]
  const joined = tf.transpose(tf.reshape(apart, [n, c, rows * columns, kh * kw]), [0, 2, 1, 3]);
  const patches = tf.reshape(joined, [n * rows * columns, c * kh * kw]) as tf.Tensor2D;
  const matrix = tf.transpose(tf.reshape(w, [w.shape[0], -1]) as tf.Tensor2D); // [C * kh * kw, O]
  return tf.reshape(product2d(patches, matrix, sides), [n, rows, columns, w.shape[0]]);
}

/** Is there a kernel for the gradient of the input? Not for dilated and depthwise convolutions. */
function hasInputGradient({ dilations, groups }: Planar, x: tf.Tensor4D): boolean {
  return dilations.every((dilation) => dilation === 1) && (groups === 1 || groups < x.shape[1]);
}

/** What the kernel sees at each position, laid out as a matrix, times the filters: slices and products, which have gradients everywhere. */
function unfoldedProduct(
  x: tf.Tensor4D,
  w: tf.Tensor4D,
  { kernel, strides, dilations, pads, groups }: Planar,
  sides: Sides,
): tf.Tensor {
  const padded = tf.pad(x, [[0, 0], [0, 0], ...pads]);
  const [n, c, h, width] = padded.shape as [number, number, number, number];
  const count = (length: number, side: 0 | 1) =>
    Math.floor((length - (kernel[side] - 1) * dilations[side] - 1) / strides[side]) + 1;
  const [rows, columns] = [count(h, 0), count(width, 1)];
  const places = Array.from({ length: kernel[0] * kernel[1] }, (_, k) => {
    const [i, j] = [Math.floor(k / kernel[1]), k % kernel[1]];
    const band = sliceAxis(padded, { axis: 2, start: i * dilations[0], count: rows, step: strides[0] });
    const seen = sliceAxis(band, { axis: 3, start: j * dilations[1], count: columns, step: strides[1] });
    return tf.reshape(seen as tf.Tensor, [n, c, 1, rows * columns]);
  });
  const all = tf.concat(places, 2); // [N, C, kernel, positions]
  const each = { inputs: c / groups, outputs: w.shape[0] / groups };
  const products = Array.from({ length: groups }, (_, g) => {
    const own = sliceAxis(all, { axis: 1, start: g * each.inputs, count: each.inputs, step: 1 }) as tf.Tensor;
    const filter = sliceAxis(w, {
      axis: 0,
      start: g * each.outputs,
      count: each.outputs,
      step: 1,
    }) as tf.Tensor;
    const folded = tf.reshape(own, [n, each.inputs * places.length, rows * columns]);
    const matrix = tf.reshape(tf.transpose(folded, [0, 2, 1]), [n * rows * columns, -1]) as tf.Tensor2D;
    return product2d(matrix, tf.transpose(tf.reshape(filter, [each.outputs, -1])) as tf.Tensor2D, sides);
  });
  return tf.reshape(groups === 1 ? (products[0] as tf.Tensor) : tf.concat(products, 1), [
    n,
    rows,
    columns,
    w.shape[0],
  ]);
}

function convolve(x: tf.Tensor4D, w: tf.Tensor4D, { strides, dilations, pads, groups }: Planar): tf.Tensor {
  const wide = tf.transpose(tf.pad(x, [[0, 0], [0, 0], ...pads]), [0, 2, 3, 1]) as tf.Tensor4D; // [N, H, W, C]
  const filter = tf.transpose(w, [2, 3, 1, 0]) as tf.Tensor4D; // [kh, kw, C / groups, O]
  const step: [number, number] = [...strides];
  const spread: [number, number] = [...dilations];
  if (groups === 1) return tf.conv2d(wide, filter, step, 'valid', 'NHWC', spread);
  const channels = wide.shape[3];
  if (groups === channels) {
    const perChannel = tf.reshape(filter, [filter.shape[0], filter.shape[1], channels, -1]) as tf.Tensor4D;
    return tf.depthwiseConv2d(wide, perChannel, step, 'valid', 'NHWC', spread);
  }
  const group = (t: tf.Tensor4D, g: number) => {
    const count = t.shape[3] / groups;
    return sliceAxis(t, { axis: 3, start: g * count, count, step: 1 }) as tf.Tensor4D;
  };
  const parts = Array.from({ length: groups }, (_, g) =>
    tf.conv2d(group(wide, g), group(filter, g), step, 'valid', 'NHWC', spread),
  );
  return tf.concat(parts, 3);
}

export const convolveOps: OpTable = { Conv: always(conv) };
