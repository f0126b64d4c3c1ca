/** Multiplies a unit mask into an activation, with a gradient made of two passes and one small product. */
import * as tf from '@tensorflow/tfjs-core';
import { SppError } from '../../schema/errors.ts';
import { elementCount } from './graph.ts';

/** Where and how a mask is multiplied in; structurally a pair's MaskSite. */
export interface MaskedAxis {
  readonly tensor: string;
  readonly axis: number;
  readonly outer: number;
  readonly inner: number;
}

/**
 * y = x * m along one axis, whose elements are laid out outer * units * inner.
 * @param x [..., outer * units * inner, ...]
 * @param mask [units]
 * @param throughX does a gradient also flow into x?
 * @throws `bad-shape` when the axis does not have that many elements
 */
export function applyMask(x: tf.Tensor, mask: tf.Tensor1D, site: MaskedAxis, throughX: boolean): tf.Tensor {
  const { axis, outer, inner } = site;
  const [units] = mask.shape;
  const width = outer * units * inner;
  if (x.shape[axis] !== width)
    throw new SppError(
      'bad-shape',
      `The mask on ${site.tensor} covers ${outer} x ${units} x ${inner} elements, but its axis ${axis} has ${x.shape[axis]}.`,
    );
  const before = elementCount(x.shape.slice(0, axis));
  const after = elementCount(x.shape.slice(axis + 1));
  // A trailing axis of one would make the backend broadcast along it.
  const folded = after === 1 ? [before, width] : [before, width, after];
  const view = tf.reshape(x, folded);
  const spread = (m: tf.Tensor) => {
    const full = tf.tile(tf.reshape(m, [1, units, 1]), [outer, 1, inner]);
    return tf.reshape(full, after === 1 ? [1, width] : [1, width, 1]);
  };
  const toMask = (dy: tf.Tensor, saved: tf.Tensor) => {
    const products = tf.mul(dy, saved);
    const rows = (after === 1 ? products : tf.sum(products, -1)) as tf.Tensor2D; // [before, width]
    const columns = tf.matMul(tf.ones([1, before]) as tf.Tensor2D, rows);
    return tf.reshape(tf.sum(tf.reshape(columns, [outer, units, inner]), [0, 2]), [units]);
  };
  const record = tf.customGrad((...args) => {
    const save = args.at(-1) as tf.GradSaveFunc;
    const full = spread(mask);
    save([view, full]);
    const gradFunc = (dy: tf.Tensor, [v, f]: tf.Tensor[]) => {
      const toMasks = toMask(dy, v as tf.Tensor);
      return throughX ? [toMasks, tf.mul(dy, f as tf.Tensor)] : toMasks;
    };
    return { value: tf.mul(view, full), gradFunc: gradFunc as (dy: tf.Tensor) => tf.Tensor[] };
  });
  return tf.reshape(throughX ? record(mask, view) : record(mask), x.shape);
}
