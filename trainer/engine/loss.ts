/** The two losses of the search, both as a sum over rows of KL(target || softmax(logits)), with the gradient softmax - target. */
import * as tf from '@tensorflow/tfjs-core';
import { SppError } from '../../schema/errors.ts';
import type { Tensor } from '../graph/graph.ts';

/** What a shard's outputs are held against. */
export type LossTarget =
  | { readonly kind: 'kl'; readonly output: string; readonly teacher: Tensor }
  | {
      readonly kind: 'cross-entropy';
      readonly output: string;
      /** One per row of logits; -1 where a row does not count (the last position of a text has no next token). */
      readonly labels: Int32Array;
    };

export interface LossSum {
  readonly sum: tf.Scalar;
  /** Rows that count. */
  readonly rows: number;
}

/**
 * Sum over rows of the loss; a mean over any split of a batch is made of such sums.
 * @param logits [..., C]; its gradient is exact and stable, taken from the softmax
 * @throws `bad-shape` when the target does not have the logits' rows
 */
export function lossSum(logits: tf.Tensor, target: LossTarget): LossSum {
  const classes = logits.shape.at(-1) as number;
  const rows = tf.reshape(logits, [-1, classes]) as tf.Tensor2D;
  return target.kind === 'kl' ? divergence(rows, target.teacher) : crossEntropy(rows, target.labels);
}

function divergence(rows: tf.Tensor2D, teacher: Tensor): LossSum {
  const [count, classes] = rows.shape;
  if (teacher.data.length !== count * classes)
    throw new SppError(
      'bad-shape',
      `The teacher's [${teacher.dims}] does not match ${count} rows of ${classes} logits.`,
    );
  const logits = tf.tensor2d(teacher.data as Float32Array, [count, classes], 'float32');
  const dense = tf.logSoftmax(logits);
  const probabilities = tf.softmax(logits);
  const fit = (log: tf.Tensor) => tf.sum(tf.mul(probabilities, tf.sub(dense, log))) as tf.Scalar;
  return { sum: withSoftmaxGradient(rows, fit, probabilities), rows: count };
}

function crossEntropy(rows: tf.Tensor2D, labels: Int32Array): LossSum {
  const [count, classes] = rows.shape;
  if (labels.length !== count)
    throw new SppError('bad-shape', `There are ${labels.length} labels for ${count} rows of logits.`);
  const stray = labels.find((label) => label < -1 || label >= classes);
  if (stray !== undefined)
    throw new SppError('bad-data', `The label ${stray} is outside the model's ${classes} classes.`, {
      hint: 'Check that the data set belongs to this model.',
    });
  const counted = Float32Array.from(labels, (label) => (label === -1 ? 0 : 1));
  const total = counted.reduce((a, b) => a + b, 0);
  // The one-hot row of -1 is all zero, so such a row adds nothing to the sum.
  const chosen = tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), classes), 'float32') as tf.Tensor2D;
  const fit = (log: tf.Tensor) => tf.neg(tf.sum(tf.mul(chosen, log))) as tf.Scalar;
  const weights = total === count ? undefined : tf.tensor2d(counted, [count, 1]);
  return { sum: withSoftmaxGradient(rows, fit, chosen, weights), rows: total };
}

/**
 * value(log softmax(rows)) with d/drows = softmax(rows) - target; rows of the target sum to one.
 * @param weights [rows, 1]: zero for rows that take no gradient, whose target is zero too
 */
function withSoftmaxGradient(
  rows: tf.Tensor2D,
  value: (log: tf.Tensor) => tf.Scalar,
  target: tf.Tensor2D,
  weights?: tf.Tensor2D,
): tf.Scalar {
  return tf.customGrad((input, save) => {
    const log = tf.logSoftmax(input as tf.Tensor2D);
    (save as tf.GradSaveFunc)(weights ? [log, target, weights] : [log, target]);
    const gradFunc = (dy: tf.Tensor, [l, t, w]: tf.Tensor[]) => {
      const probabilities = tf.exp(l as tf.Tensor);
      return tf.mul(dy, tf.sub(w ? tf.mul(probabilities, w) : probabilities, t as tf.Tensor));
    };
    return { value: value(log), gradFunc };
  })(rows) as tf.Scalar;
}
