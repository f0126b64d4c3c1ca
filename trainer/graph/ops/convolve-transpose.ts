/**
 * Transposed convolutions: the input with zeros between its elements, convolved with the filter turned round.
 *
 *   y[n, o, stride p + dilation k - pad] += x[n, c, p] w[c, o, k]
 */
import * as tf from '@tensorflow/tfjs-core';
import { elementCount, type GraphNode, intAttribute, intsAttribute, stringAttribute } from '../graph.ts';
import { toDevice } from '../value.ts';
import { convolution, evenly, type Geometry, geometryOf, withBias } from './convolve.ts';
import type { Sides } from './linear.ts';
import { always, type Evaluate, input, type OpTable, requiredNumbers } from './op.ts';
import { type Around, crop, padConstant } from './pad.ts';
import { sliceAxis } from './slice.ts';

/** `pads` are what is taken off the full result; `extra` is added behind it. */
export interface TransposedGeometry extends Geometry {
  readonly extra: readonly number[];
}

/** @param spatial lengths of the input's spatial axes, @param kernel of the filter's */
export function transposedGeometry(
  node: GraphNode,
  spatial: readonly number[],
  kernel: readonly number[],
): TransposedGeometry {
  const of = (name: string, absent: number) => intsAttribute(node, name) ?? spatial.map(() => absent);
  const [strides, dilations, extra] = [of('strides', 1), of('dilations', 1), of('output_padding', 0)];
  const explicit = intsAttribute(node, 'pads') ?? spatial.flatMap(() => [0, 0]);
  const auto = stringAttribute(node, 'auto_pad', 'NOTSET');
  const wanted = intsAttribute(node, 'output_shape');
  const pads = spatial.map((length, side): Around => {
    const stride = strides[side] as number;
    const reach = ((kernel[side] as number) - 1) * (dilations[side] as number) + 1;
    const full = stride * (length - 1) + (extra[side] as number) + reach;
    if (wanted) return evenly(full - (wanted.at(side - spatial.length) as number), auto);
    if (auto.startsWith('SAME')) return evenly(Math.max(0, full - length * stride), auto);
    return auto === 'VALID' ? [0, 0] : [explicit[side] as number, explicit[side + spatial.length] as number];
  });
  return { strides, dilations, pads, extra, groups: intAttribute(node, 'group', 1) };
}

const convTranspose: Evaluate = (call) => {
  const x = toDevice(input(call, 0));
  const w = toDevice(input(call, 1));
  const geometry = transposedGeometry(call.node, x.shape.slice(2), w.shape.slice(2));
  const sides = [call.gradient[0] === true, call.gradient[1] === true] as const;
  return withBias(call, transposedConvolution(x, w, geometry, sides));
};

/**
 * @param x [N, C, ...]
 * @param w [C, O / groups, ...]
 * @returns [N, O, ...]
 */
function transposedConvolution(
  x: tf.Tensor,
  w: tf.Tensor,
  { strides, dilations, pads, extra, groups }: TransposedGeometry,
  sides: Sides,
): tf.Tensor {
  const apart = strides.reduce((value, stride, side) => spread(value, side + 2, stride), x);
  // Around the input goes what the filter reaches beyond it, less what is taken off the result.
  const around = pads.map(([before, after], side): Around => {
    const reach = ((w.shape[side + 2] as number) - 1) * (dilations[side] as number);
    return [reach - before, reach - after + (extra[side] as number)];
  });
  const all: Around[] = [[0, 0], [0, 0], ...around];
  const grown = all.map(([before, after]): Around => [Math.max(0, before), Math.max(0, after)]);
  const fitted = padConstant(crop(apart, all), grown, 0) as tf.Tensor;
  const plain = {
    strides: strides.map(() => 1),
    dilations,
    pads: strides.map(() => [0, 0] as const),
    groups,
  };
  return convolution(fitted, turned(w, groups), plain, sides);
}

/** Adds up overlapping blocks [N, C * block, count] where they lie in the image: a transposed convolution with one tap a place. */
const col2Im: Evaluate = (call) => {
  const x = toDevice(input(call, 0));
  const [image, block] = [requiredNumbers(call, 1), requiredNumbers(call, 2)];
  const { strides, dilations, pads } = geometryOf(call.node, image, block);
  const reach = block.map((length, side) => (length - 1) * (dilations[side] as number) + 1);
  const counts = image.map((length, side) => {
    const [before, after] = pads[side] as Around;
    return Math.floor((length + before + after - (reach[side] as number)) / (strides[side] as number)) + 1;
  });
  const places = elementCount(block);
  const cropped = image.map((length, side): Around => {
    const full = (strides[side] as number) * ((counts[side] as number) - 1) + (reach[side] as number);
    const [before] = pads[side] as Around;
    return [before, full - before - length];
  });
  const filter = tf.reshape(tf.eye(places), [places, 1, ...block]);
  const geometry = { strides, dilations, pads: cropped, extra: image.map(() => 0), groups: 1 };
  const sides = [call.gradient[0] === true, false] as const;
  const summed = transposedConvolution(tf.reshape(x, [-1, places, ...counts]), filter, geometry, sides);
  return tf.reshape(summed, [x.shape[0] as number, -1, ...image]);
};

/** Zeros between the elements of an axis, so that they stand `step` apart. */
function spread(x: tf.Tensor, axis: number, step: number): tf.Tensor {
  const length = x.shape[axis] as number;
  if (step === 1 || length <= 1) return x;
  const [before, after] = [x.shape.slice(0, axis), x.shape.slice(axis + 1)];
  const outer = before.reduce((a, b) => a * b, 1);
  const padded = tf.pad(tf.reshape(x, [outer, length, 1, -1]), [
    [0, 0],
    [0, 0],
    [0, step - 1],
    [0, 0],
  ]);
  const joined = tf.reshape(padded, [...before, length * step, ...after]);
  return sliceAxis(joined, { axis, start: 0, count: (length - 1) * step + 1, step: 1 }) as tf.Tensor;
}

/** [C, O / groups, ...] as the filter of a convolution [O, C / groups, ...], last tap first. */
function turned(w: tf.Tensor, groups: number): tf.Tensor {
  const [inputs = 0, outputs = 0, ...kernel] = w.shape;
  const others = kernel.map((_, i) => i + 3);
  const reversed = kernel.reduce<tf.Tensor>(
    (filter, count, i) => sliceAxis(filter, { axis: i + 2, start: count - 1, count, step: -1 }) as tf.Tensor,
    w,
  );
  const apart = tf.reshape(reversed, [groups, inputs / groups, outputs, ...kernel]);
  return tf.reshape(tf.transpose(apart, [0, 2, 1, ...others]), [
    groups * outputs,
    inputs / groups,
    ...kernel,
  ]);
}

export const convolveTransposeOps: OpTable = {
  ConvTranspose: always(convTranspose),
  Col2Im: always(col2Im),
};
