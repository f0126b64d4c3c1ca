/** The two losses of the search, both as a sum over rows of KL(target || softmax(logits)), with the gradient softmax - target. */
import * as tf from '@tensorflow/tfjs-core';
import { SppError } from '../../schema/errors.ts';
import type { Tensor } from '../graph/graph.ts';

/** What a shard's outputs are held against. */
export type LossTarget =
  | { readonly kind: 'kl'; readonly output: string; readonly teacher: Tensor }
  | { readonly kind: 'cross-entropy'; readonly output: string; readonly labels: Int32Array };

/**
 * Sum over rows of the loss; a mean over any split of a batch is made of such sums.
 * @param logits [..., C]; its gradient is exact and stable, taken from the softmax
 * @returns a scalar
 * @throws `bad-shape` when the target does not have the logits' rows
 */
export function lossSum(logits: tf.Tensor, target: LossTarget): tf.Scalar {
  const classes = logits.shape.at(-1) as number;
  const rows = tf.reshape(logits, [-1, classes]) as tf.Tensor2D;
  return target.kind === 'kl'
    ? divergence(rows, teacherLogits(target.teacher, rows))
    : crossEntropy(rows, target.labels);
}

function divergence(rows: tf.Tensor2D, teacher: tf.Tensor2D): tf.Scalar {
  const dense = tf.logSoftmax(teacher);
  const probabilities = tf.softmax(teacher);
  const fit = (log: tf.Tensor) => tf.sum(tf.mul(probabilities, tf.sub(dense, log))) as tf.Scalar;
  return withSoftmaxGradient(rows, fit, probabilities);
}

function crossEntropy(rows: tf.Tensor2D, labels: Int32Array): tf.Scalar {
  const [count, classes] = rows.shape;
  if (labels.length !== count)
    throw new SppError('bad-shape', `There are ${labels.length} labels for ${count} rows of logits.`);
  const stray = labels.find((label) => label < 0 || label >= classes);
  if (stray !== undefined)
    throw new SppError('bad-data', `The label ${stray} is outside the model's ${classes} classes.`, {
      hint: 'Check that the data set belongs to this model.',
    });
  const chosen = tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), classes), 'float32') as tf.Tensor2D;
  return withSoftmaxGradient(rows, (log) => tf.neg(tf.sum(tf.mul(chosen, log))) as tf.Scalar, chosen);
}

/** value(log softmax(rows)) with d/drows = softmax(rows) - target; rows of the target sum to one. */
function withSoftmaxGradient(
  rows: tf.Tensor2D,
  value: (log: tf.Tensor) => tf.Scalar,
  target: tf.Tensor2D,
): tf.Scalar {
  return tf.customGrad((input, save) => {
    const log = tf.logSoftmax(input as tf.Tensor2D);
    (save as tf.GradSaveFunc)([log, target]);
    const gradFunc = (dy: tf.Tensor, [l, t]: tf.Tensor[]) =>
      tf.mul(dy, tf.sub(tf.exp(l as tf.Tensor), t as tf.Tensor));
    return { value: value(log), gradFunc };
  })(rows) as tf.Scalar;
}

function teacherLogits(teacher: Tensor, rows: tf.Tensor2D): tf.Tensor2D {
  const [count, classes] = rows.shape;
  if (teacher.data.length !== count * classes)
    throw new SppError(
      'bad-shape',
      `The teacher's [${teacher.dims}] does not match ${count} rows of ${classes} logits.`,
    );
  return tf.tensor2d(teacher.data as Float32Array, [count, classes], 'float32');
}
