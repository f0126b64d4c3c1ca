/** Normalisations: softmax, layer and RMS norms, batch norm at inference. */
import * as tf from '@tensorflow/tfjs-core';
import { elementCount, floatAttribute, type GraphNode, intAttribute, intsAttribute } from '../graph.ts';
import { positiveAxis, toDevice } from '../value.ts';
import { always, type Evaluate, input, type OpTable } from './op.ts';

/**
 * (x - mean) / sqrt(variance + epsilon) over the last axis: [rows, n].
 * Gradient: (dy - mean(dy) - y mean(dy y)) / sqrt(variance + epsilon).
 */
function normalizeRows(x: tf.Tensor2D, epsilon: number): tf.Tensor2D {
  return tf.customGrad((input, save) => {
    const rows = input as tf.Tensor2D;
    const centred = tf.sub(rows, tf.mean(rows, -1, true));
    const scale = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), epsilon)); // [rows, 1]
    const y = tf.mul(centred, scale);
    (save as tf.GradSaveFunc)([y, scale]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [z, s] = saved as [tf.Tensor, tf.Tensor];
      const along = tf.mul(z, tf.mean(tf.mul(dy, z), -1, true));
      return tf.mul(tf.sub(tf.sub(dy, tf.mean(dy, -1, true)), along), s);
    };
    return { value: y, gradFunc };
  })(x) as tf.Tensor2D;
}

/** Over all axes from `axis` on, then scaled and shifted by what broadcasts to x. */
export function layerNorm(
  x: tf.Tensor,
  axis: number,
  epsilon: number,
  scale: tf.Tensor,
  shift?: tf.Tensor,
): tf.Tensor {
  const rows = tf.reshape(x, [-1, elementCount(x.shape.slice(axis))]) as tf.Tensor2D;
  const scaled = tf.mul(tf.reshape(normalizeRows(rows, epsilon), x.shape), scale);
  return shift === undefined ? scaled : tf.add(scaled, shift);
}

const layerNormalization: Evaluate = (call) => {
  const x = toDevice(input(call, 0));
  const axis = positiveAxis(intAttribute(call.node, 'axis', -1), x.rank);
  const epsilon = floatAttribute(call.node, 'epsilon', 1e-5);
  const shift = call.inputs[2] === undefined ? undefined : toDevice(call.inputs[2]);
  const y = layerNorm(x, axis, epsilon, toDevice(input(call, 1)), shift);
  if (call.node.outputs.length === 1) return y;
  const axes = x.shape.map((_, a) => a).slice(axis);
  const mean = tf.mean(x, axes, true);
  const variance = tf.mean(tf.square(tf.sub(x, mean)), axes, true);
  return [y, mean, tf.rsqrt(tf.add(variance, epsilon))].slice(0, call.node.outputs.length);
};

/** x / sqrt(mean(x²) + epsilon) * weight, which broadcasts to x, over all axes from `axis` on. */
export function rmsNorm(x: tf.Tensor, axis: number, epsilon: number, weight: tf.Tensor): tf.Tensor {
  const rows = tf.reshape(x, [-1, elementCount(x.shape.slice(axis))]);
  const scale = tf.rsqrt(tf.add(tf.mean(tf.square(rows), -1, true), epsilon));
  return tf.mul(tf.reshape(tf.mul(rows, scale), x.shape), weight);
}

const rmsNormalization: Evaluate = (call) => {
  const x = toDevice(input(call, 0));
  const axis = positiveAxis(intAttribute(call.node, 'axis', -1), x.rank);
  const epsilon = floatAttribute(call.node, 'epsilon', 1e-5);
  return rmsNorm(x, axis, epsilon, toDevice(input(call, 1)));
};

const onlyFirstOutput = (node: GraphNode) =>
  node.outputs.slice(1).some((output) => output !== '') ? 'more than its first output' : undefined;

/** Applies a function of rows along any axis. */
function alongAxis(x: tf.Tensor, given: number, f: (x: tf.Tensor) => tf.Tensor): tf.Tensor {
  const axis = positiveAxis(given, x.rank);
  if (axis === x.rank - 1) return f(x);
  const order = [...x.shape.map((_, a) => a).filter((a) => a !== axis), axis];
  return tf.transpose(
    f(tf.transpose(x, order)),
    order.map((_, a) => order.indexOf(a)),
  );
}

/** Since opset 13: along one axis. */
const perAxis =
  (f: (x: tf.Tensor) => tf.Tensor): Evaluate =>
  (call) =>
    alongAxis(toDevice(input(call, 0)), intAttribute(call.node, 'axis', -1), f);

/** Before opset 13: over all axes from the given one on. */
const flattened =
  (f: (x: tf.Tensor) => tf.Tensor): Evaluate =>
  (call) => {
    const x = toDevice(input(call, 0));
    const axis = positiveAxis(intAttribute(call.node, 'axis', 1), x.rank);
    return tf.reshape(f(tf.reshape(x, [elementCount(x.shape.slice(0, axis)), -1])), x.shape);
  };

const softmax = (x: tf.Tensor) => tf.softmax(x);
const logSoftmax = (x: tf.Tensor) => tf.logSoftmax(x);

/** Per-channel values as [C, 1, ...], to broadcast over [N, C, ...]. */
function perChannel(x: tf.Tensor, rank: number): tf.Tensor {
  return tf.reshape(x, [-1, ...new Array<number>(Math.max(rank - 2, 0)).fill(1)]);
}

const batchNormalization: Evaluate = (call) => {
  const x = toDevice(input(call, 0));
  const channel = (index: number) => perChannel(toDevice(input(call, index)), x.rank);
  const epsilon = floatAttribute(call.node, 'epsilon', 1e-5);
  const factor = tf.mul(channel(1), tf.rsqrt(tf.add(channel(4), epsilon)));
  return tf.add(tf.mul(x, factor), tf.sub(channel(2), tf.mul(channel(3), factor)));
};

/** Groups of channels, each normalised over itself and all positions; one group per channel is InstanceNormalization. */
const grouped =
  (groupsOf: (node: GraphNode, channels: number) => number): Evaluate =>
  (call) => {
    const x = toDevice(input(call, 0));
    const [n, channels] = x.shape as [number, number];
    const groups = groupsOf(call.node, channels);
    const rows = tf.reshape(x, [n * groups, -1]) as tf.Tensor2D;
    const y = tf.reshape(normalizeRows(rows, floatAttribute(call.node, 'epsilon', 1e-5)), x.shape);
    const channel = (index: number) => {
      const given = toDevice(input(call, index));
      return perChannel(given.size === channels ? given : repeatEach(given, channels / groups), x.rank);
    };
    return tf.add(tf.mul(y, channel(1)), channel(2));
  };

/** Each element so many times: a value a group, as opset 18 has them, becomes one a channel. */
function repeatEach(x: tf.Tensor, times: number): tf.Tensor {
  return tf.reshape(tf.tile(tf.reshape(x, [-1, 1]), [1, times]), [-1]);
}

/** x / (Σ|x|^p)^(1/p) along an axis. */
const lpNormalization: Evaluate = (call) => {
  const x = toDevice(input(call, 0));
  const axis = positiveAxis(intAttribute(call.node, 'axis', -1), x.rank);
  const norm =
    intAttribute(call.node, 'p', 2) === 1
      ? tf.sum(tf.abs(x), axis, true)
      : tf.sqrt(tf.sum(tf.square(x), axis, true));
  // Zeros stay zeros.
  return tf.div(x, tf.where(tf.equal(norm, 0), tf.onesLike(norm), norm));
};

/** (x - mean) / standard deviation over some axes; ONNX's function adds 1e-9 to the deviation. */
const meanVariance: Evaluate = (call) => {
  const x = toDevice(input(call, 0));
  const axes = [...(intsAttribute(call.node, 'axes') ?? [0, 2, 3])];
  const centred = tf.sub(x, tf.mean(x, axes, true));
  return tf.div(centred, tf.add(tf.sqrt(tf.mean(tf.square(centred), axes, true)), 1e-9));
};

export const normalizeOps: OpTable = {
  LayerNormalization: always(layerNormalization),
  RMSNormalization: always(rmsNormalization),
  SimplifiedLayerNormalization: always(rmsNormalization, onlyFirstOutput),
  LpNormalization: always(lpNormalization),
  MeanVarianceNormalization: always(meanVariance),
  Softmax: [
    { since: 1, evaluate: flattened(softmax) },
    { since: 13, evaluate: perAxis(softmax) },
  ],
  LogSoftmax: [
    { since: 1, evaluate: flattened(logSoftmax) },
    { since: 13, evaluate: perAxis(logSoftmax) },
  ],
  BatchNormalization: always(batchNormalization, onlyFirstOutput),
  GroupNormalization: [{ since: 18, evaluate: grouped((node) => intAttribute(node, 'num_groups', 1)) }],
  InstanceNormalization: always(grouped((_node, channels) => channels)),
};
