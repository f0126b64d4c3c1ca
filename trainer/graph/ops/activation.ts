/** Activation functions. Gelu and erf carry gradients of their own: fewer passes over memory than the composed ones. */
import * as tf from '@tensorflow/tfjs-core';
import { floatAttribute, stringAttribute } from '../graph.ts';
import { type HostValue, isHost, mapHost, toDevice, type Value } from '../value.ts';
import { always, type Evaluate, input, type OpTable } from './op.ts';

/** Runs on the backend; the rare host float (a scalar) goes there too. */
function device(f: (x: tf.Tensor) => tf.Tensor): Evaluate {
  return (call) => f(toDevice(input(call, 0)));
}

/** x Φ(x), with Φ the normal distribution function; derivative Φ(x) + x φ(x). */
function gelu(x: tf.Tensor): tf.Tensor {
  return tf.customGrad((input, save) => {
    const z = input as tf.Tensor;
    const cdf = tf.mul(tf.add(tf.erf(tf.mul(z, Math.SQRT1_2)), 1), 0.5);
    (save as tf.GradSaveFunc)([z, cdf]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [u, phi] = saved as [tf.Tensor, tf.Tensor];
      const density = tf.mul(tf.exp(tf.mul(tf.square(u), -0.5)), 1 / Math.sqrt(2 * Math.PI));
      return tf.mul(dy, tf.add(phi, tf.mul(u, density)));
    };
    return { value: tf.mul(z, cdf), gradFunc };
  })(x);
}

/** 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))). */
function geluTanh(x: tf.Tensor): tf.Tensor {
  const inner = tf.mul(tf.add(x, tf.mul(tf.mul(tf.square(x), x), 0.044715)), Math.sqrt(2 / Math.PI));
  return tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(inner), 1));
}

const geluOp: Evaluate = (call) => {
  const x = toDevice(input(call, 0));
  return stringAttribute(call.node, 'approximate', 'none') === 'tanh' ? geluTanh(x) : gelu(x);
};

const fastGelu: Evaluate = (call) => {
  const x = toDevice(input(call, 0));
  const bias = call.inputs[1];
  return geluTanh(bias === undefined ? x : tf.add(x, toDevice(bias)));
};

const biasGelu: Evaluate = (call) => gelu(tf.add(toDevice(input(call, 0)), toDevice(input(call, 1))));

const swish = (alpha: number): Evaluate =>
  device((x) => tf.mul(x, tf.sigmoid(alpha === 1 ? x : tf.mul(x, alpha))));

const withAlpha =
  (name: string, fallback: number, f: (x: tf.Tensor, alpha: number) => tf.Tensor): Evaluate =>
  (call) =>
    f(toDevice(input(call, 0)), floatAttribute(call.node, name, fallback));

const hardSigmoid: Evaluate = (call) => {
  const alpha = floatAttribute(call.node, 'alpha', 0.2);
  const beta = floatAttribute(call.node, 'beta', 0.5);
  return tf.clipByValue(tf.add(tf.mul(toDevice(input(call, 0)), alpha), beta), 0, 1);
};

/** x where positive, slope x elsewhere; of parts that have gradients in both. */
const prelu: Evaluate = (call) => {
  const [x, slope] = [toDevice(input(call, 0)), toDevice(input(call, 1))];
  return tf.add(tf.relu(x), tf.mul(slope, tf.minimum(x, 0)));
};

/** alpha (exp(x / beta) - 1) below zero, x above: what Elu, Celu and Selu are made of. */
const exponentialUnit = (x: tf.Tensor, alpha: number, beta = 1) =>
  tf.add(tf.relu(x), tf.mul(tf.sub(tf.exp(tf.div(tf.minimum(x, 0), beta)), 1), alpha));

const selu: Evaluate = (call) => {
  const alpha = floatAttribute(call.node, 'alpha', 1.6732631921768188);
  const gamma = floatAttribute(call.node, 'gamma', 1.0507010221481323);
  return tf.mul(exponentialUnit(toDevice(input(call, 0)), alpha), gamma);
};

/** Values within lambd of zero vanish, the others move towards zero by bias. */
const shrink: Evaluate = (call) => {
  const x = toDevice(input(call, 0));
  const lambd = floatAttribute(call.node, 'lambd', 0.5);
  const bias = floatAttribute(call.node, 'bias', 0);
  const moved = tf.sub(x, tf.mul(tf.sign(x), bias));
  return tf.where(tf.greater(tf.abs(x), lambd), moved, tf.zerosLike(x));
};

const relu: Evaluate = (call) => {
  const x: Value = input(call, 0);
  return isHost(x) ? mapHost((x as HostValue).dtype, [x], (v) => Math.max(v, 0)) : tf.relu(x);
};

export const activationOps: OpTable = {
  Erf: always(device(tf.erf)),
  Tanh: always(device(tf.tanh)),
  Sigmoid: always(device(tf.sigmoid)),
  Relu: always(relu),
  LeakyRelu: always(withAlpha('alpha', 0.01, (x, alpha) => tf.leakyRelu(x, alpha))),
  Elu: always(withAlpha('alpha', 1, (x, alpha) => exponentialUnit(x, alpha))),
  Celu: always(withAlpha('alpha', 1, (x, alpha) => exponentialUnit(x, alpha, alpha))),
  Selu: always(selu),
  Shrink: always(shrink),
  Softsign: always(device((x) => tf.div(x, tf.add(tf.abs(x), 1)))),
  ThresholdedRelu: always(
    withAlpha('alpha', 1, (x, alpha) => tf.where(tf.greater(x, alpha), x, tf.zerosLike(x))),
  ),
  PRelu: always(prelu),
  Softplus: always(device(tf.softplus)),
  HardSigmoid: always(hardSigmoid),
  HardSwish: always(device((x) => tf.mul(x, tf.clipByValue(tf.add(tf.mul(x, 1 / 6), 0.5), 0, 1)))),
  Mish: always(device((x) => tf.mul(x, tf.tanh(tf.softplus(x))))),
  Gelu: always(geluOp),
  Swish: always((call) => swish(floatAttribute(call.node, 'alpha', 1))(call)),
  'com.microsoft.Gelu': always(device(gelu)),
  'com.microsoft.FastGelu': always(fastGelu),
  'com.microsoft.BiasGelu': always(biasGelu),
  'com.microsoft.QuickGelu': always((call) => swish(floatAttribute(call.node, 'alpha', 1.702))(call)),
};
