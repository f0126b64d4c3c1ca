/** Convolutions over [N, C, H, W] (or [N, C, L]). One that cuts into patches, as ViTs do, is a single matrix product. */
import * as tf from '@tensorflow/tfjs-core';
import { type GraphNode, intAttribute, intsAttribute, stringAttribute } from '../graph.ts';
import { toDevice } from '../value.ts';
import { product2d, type Sides } from './linear.ts';
import { always, type Evaluate, input, type OpTable } from './op.ts';
import { sliceAxis } from './slice.ts';

interface Geometry {
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  /** Before and after, for height and width. */
  readonly pads: readonly [[number, number], [number, number]];
  readonly groups: number;
}

function geometryOf(node: GraphNode, x: tf.Tensor4D, w: tf.Tensor4D, flat: boolean): Geometry {
  const two = (name: string): [number, number] => {
    const given = intsAttribute(node, name) ?? [1, 1];
    return flat ? [1, given[0] as number] : [given[0] as number, given[1] as number];
  };
  const kernel: [number, number] = [w.shape[2], w.shape[3]];
  const [strides, dilations] = [two('strides'), two('dilations')];
  const given = intsAttribute(node, 'pads') ?? [0, 0, 0, 0];
  const explicit = flat ? [0, given[0] as number, 0, given[1] as number] : given;
  const auto = stringAttribute(node, 'auto_pad', 'NOTSET');
  const pads = ([0, 1] as const).map((side): [number, number] => {
    if (auto === 'VALID') return [0, 0];
    if (auto === 'NOTSET') return [explicit[side] as number, explicit[side + 2] as number];
    const size = x.shape[side + 2] as number;
    const reach = (kernel[side] - 1) * dilations[side] + 1;
    const total = Math.max(0, (Math.ceil(size / strides[side]) - 1) * strides[side] + reach - size);
    const less = Math.floor(total / 2);
    return auto === 'SAME_UPPER' ? [less, total - less] : [total - less, less];
  }) as [[number, number], [number, number]];
  return { kernel, strides, dilations, pads, groups: intAttribute(node, 'group', 1) };
}

const conv: Evaluate = (call) => {
  const given = toDevice(input(call, 0));
  const weight = toDevice(input(call, 1));
  const bias = call.inputs[2];
  const flat = given.rank === 3;
  const lift = (t: tf.Tensor) => (flat ? tf.expandDims(t, 2) : t) as tf.Tensor4D;
  const x = lift(given); // [N, C, H, W]
  const w = lift(weight); // [O, C / groups, kh, kw]
  const geometry = geometryOf(call.node, x, w, flat);
  const sides = [call.gradient[0] === true, call.gradient[1] === true] as const;
  const y = cutsPatches(geometry)
    ? patchProduct(x, w, geometry, sides)
    : sides[1] || (sides[0] && !hasInputGradient(geometry, x))
      ? unfoldedProduct(x, w, geometry, sides)
      : convolve(x, w, geometry); // [N, H', W', O]
  const biased = bias === undefined ? y : tf.add(y, toDevice(bias));
  const out = tf.transpose(biased, [0, 3, 1, 2]);
  return flat ? tf.squeeze(out, [2]) : out;
};

function cutsPatches({ kernel, strides, dilations, pads, groups }: Geometry): boolean {
  return (
    groups === 1 &&
    kernel.every((size, side) => size === strides[side]) &&
    dilations.every((dilation) => dilation === 1) &&
    pads.flat().every((pad) => pad === 0)
  );
}

function patchProduct(x: tf.Tensor4D, w: tf.Tensor4D, { kernel: [kh, kw] }: Geometry, sides: Sides) {
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
function hasInputGradient({ dilations, groups }: Geometry, x: tf.Tensor4D): boolean {
  return dilations.every((dilation) => dilation === 1) && (groups === 1 || groups < x.shape[1]);
}

/** What the kernel sees at each position, laid out as a matrix, times the filters: slices and products, which have gradients everywhere. */
function unfoldedProduct(
  x: tf.Tensor4D,
  w: tf.Tensor4D,
  { kernel, strides, dilations, pads, groups }: Geometry,
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

function convolve(x: tf.Tensor4D, w: tf.Tensor4D, { strides, dilations, pads, groups }: Geometry): tf.Tensor {
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

export const convolveOps: OpTable = {
  Conv: always(conv, (node) => {
    const rank = intsAttribute(node, 'kernel_shape')?.length ?? 2;
    return rank > 2 ? `a ${rank}-dimensional kernel` : undefined;
  }),
};
