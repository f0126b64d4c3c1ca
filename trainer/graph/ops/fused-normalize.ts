/** onnxruntime's normalisations with a residual in front (com.microsoft), and its embedding of tokens, places and segments. */
import * as tf from '@tensorflow/tfjs-core';
import { floatAttribute } from '../graph.ts';
import { hostValue, toDevice, toHost, type Value } from '../value.ts';
import { take } from './gather.ts';
import { layerNorm, rmsNorm } from './normalize.ts';
import { always, type Evaluate, input, type OpCall, type OpTable } from './op.ts';

/** onnxruntime's default for these operators. */
const EPSILON = 1e-12;

/** x + skip (+ bias), which is also the fourth output; the two in between exist in training only. */
function residual(call: OpCall, bias: number): tf.Tensor {
  const sum = tf.add(toDevice(input(call, 0)), toDevice(input(call, 1)));
  const shift = call.inputs[bias];
  return shift === undefined ? sum : tf.add(sum, toDevice(shift));
}

function withSum({ node }: OpCall, y: tf.Tensor, sum: tf.Tensor): Value[] {
  // The names in between are empty: what stands there is never read.
  return [y, y, y, sum].slice(0, node.outputs.length);
}

const skipLayerNorm: Evaluate = (call) => {
  const sum = residual(call, 4);
  const shift = call.inputs[3];
  const epsilon = floatAttribute(call.node, 'epsilon', EPSILON);
  const y = layerNorm(sum, sum.rank - 1, epsilon, toDevice(input(call, 2)), shift && toDevice(shift));
  return withSum(call, y, sum);
};

const skipRmsNorm: Evaluate = (call) => {
  const sum = residual(call, 3);
  const epsilon = floatAttribute(call.node, 'epsilon', EPSILON);
  return withSum(call, rmsNorm(sum, sum.rank - 1, epsilon, toDevice(input(call, 2))), sum);
};

/**
 * Rows of three tables by token, position and segment ids [B, S], added and normalised: [B, S, D]; then the number of tokens of
 * each example by the mask [B, S].
 */
const embedLayerNorm: Evaluate = (call) => {
  const ids = toHost(input(call, 0));
  const [batch, length] = ids.dims as [number, number];
  const places = call.inputs[8]
    ? [...toHost(call.inputs[8]).data]
    : Array.from({ length: batch * length }, (_, i) => i % length);
  const rows = (index: number, at: readonly number[]) => {
    const picked = toDevice(take(input(call, index), at, 0, call.gradient[index] === true));
    return tf.reshape(picked, [at.length / length, length, -1]);
  };
  const words = rows(2, [...ids.data]);
  const placed = tf.add(words, rows(3, places));
  const segments = call.inputs[1];
  const sum = segments && call.inputs[4] ? tf.add(placed, rows(4, [...toHost(segments).data])) : placed;
  const epsilon = floatAttribute(call.node, 'epsilon', EPSILON);
  const y = layerNorm(sum, 2, epsilon, toDevice(input(call, 5)), toDevice(input(call, 6)));
  const mask = call.inputs[7];
  const counts = Array.from({ length: batch }, (_, b) =>
    mask
      ? toHost(mask)
          .data.subarray(b * length, (b + 1) * length)
          .reduce((a, x) => a + x, 0)
      : 0,
  );
  return [y, hostValue('int32', [batch], counts), sum].slice(0, call.node.outputs.length);
};

export const fusedNormalizeOps: OpTable = {
  'com.microsoft.SkipLayerNormalization': always(skipLayerNorm),
  'com.microsoft.SkipSimplifiedLayerNormalization': always(skipRmsNorm),
  'com.microsoft.EmbedLayerNormalization': always(embedLayerNorm),
};
