/**
 * The losses of the search, as sums over rows: KL(target || softmax(logits)) with the gradient softmax - target, for a
 * teacher's scores and for labels; half the squared distance, with the gradient answer - target, for all other answers.
 */
import * as tf from '@tensorflow/tfjs-core';
import { SppError } from '../../schema/errors.ts';
import type { Tensor } from '../graph/graph.ts';

/** What a shard's outputs are held against. */
export type LossTarget =
  | {
      /** `kl`: rows of logits. `squared`: rows of values; the cosine distance where they are unit vectors. */
      readonly kind: 'kl' | 'squared';
      readonly output: string;
      readonly teacher: Tensor;
    }
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
 * @param answer [..., C]; the gradient of logits is exact and stable, taken from the softmax
 * @throws `bad-shape` when the target does not have the logits' rows
 */
export function lossSum(answer: tf.Tensor, target: LossTarget): LossSum {
  const size = answer.shape.at(-1) as number;
  const rows = tf.reshape(answer, [-1, size]) as tf.Tensor2D;
  if (target.kind === 'cross-entropy') return crossEntropy(rows, target.labels);
  const [count] = rows.shape;
  if (target.teacher.data.length !== count * size)
    throw new SppError(
      'bad-shape',
      `The teacher's [${target.teacher.dims}] does not match ${count} rows of ${size} values.`,
    );
  const teacher = tf.tensor2d(target.teacher.data as Float32Array, [count, size], 'float32');
  return {
    sum: target.kind === 'kl' ? divergence(rows, teacher) : squaredDistance(rows, teacher),
    rows: count,
  };
}

function squaredDistance(rows: tf.Tensor2D, teacher: tf.Tensor2D): tf.Scalar {
  return tf.mul(0.5, tf.sum(tf.square(tf.sub(rows, teacher)))) as tf.Scalar;
}

function divergence(rows: tf.Tensor2D, teacher: tf.Tensor2D): tf.Scalar {
  const dense = tf.logSoftmax(teacher);
  const probabilities = tf.softmax(teacher);
  const fit = (log: tf.Tensor) => tf.sum(tf.mul(probabilities, tf.sub(dense, log))) as tf.Scalar;
  return withSoftmaxGradient(rows, fit, probabilities as tf.Tensor2D);
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
