/** Convolutions over [N, C, H, W] (or [N, C, L]). One that cuts into patches, as ViTs do, is a single matrix product. */
import * as tf from '@tensorflow/tfjs-core';
import { type GraphNode, intAttribute, intsAttribute, stringAttribute } from '../graph.ts';
import { toDevice } from '../value.ts';
import { product2d } from './linear.ts';
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
  const y = cutsPatches(geometry)
    ? patchProduct(x, w, geometry, [call.gradient[0] === true, call.gradient[1] === true])
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

function patchProduct(
  x: tf.Tensor4D,
  w: tf.Tensor4D,
  { kernel: [kh, kw] }: Geometry,
  sides: [boolean, boolean],
) {
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
