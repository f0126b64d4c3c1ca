/** Rotary position embedding, ONNX's (opset 23) and onnxruntime's: pairs of features turned by an angle that grows with the position. */
import * as tf from '@tensorflow/tfjs-core';
import { type GraphNode, intAttribute } from '../graph.ts';
import { dimsOf, hostValue, toDevice, toHost, type Value } from '../value.ts';
import { joinHeads, splitHeads } from './attention-core.ts';
import { take } from './gather.ts';
import { input, type OpCall, type OpTable } from './op.ts';
import { sliceAxis } from './slice.ts';

interface Tables {
  /** [S or B·S, half] by position, to broadcast over [B, H, S, half]. */
  readonly cos: tf.Tensor;
  readonly sin: tf.Tensor;
}

const rotary = (call: OpCall) => {
  const x = headsOf(call, toDevice(input(call, 0)), dimsOf(input(call, 1)).at(-1) as number);
  const given = call.inputs[3];
  const rows = (table: Value) => {
    const dims = dimsOf(table);
    if (given === undefined) return tf.expandDims(toDevice(table), 1); // [B, 1, S, half]
    const ids = toHost(given);
    const picked = take(table, [...ids.data], 0, false);
    return tf.reshape(toDevice(picked), [ids.dims[0] as number, 1, -1, dims[1] as number]);
  };
  return restored(call, turned(call.node, x, { cos: rows(input(call, 1)), sin: rows(input(call, 2)) }));
};

/** onnxruntime's takes positions second, and one number for the first position of all. */
const rotaryMicrosoft = (call: OpCall) => {
  const half = dimsOf(input(call, 2)).at(-1) as number;
  const x = headsOf(call, toDevice(input(call, 0)), half);
  const [batch, , length] = x.shape as [number, number, number];
  const ids = toHost(input(call, 1));
  const one = ids.data.length === 1;
  const positions = one
    ? hostValue(
        'int64',
        [1, length],
        Array.from({ length }, (_, i) => (ids.data[0] as number) + i),
      )
    : hostValue('int64', [batch, length], ids.data);
  const rows = (index: number) => {
    const picked = toDevice(take(input(call, index), [...positions.data], 0, false));
    return tf.reshape(picked, [positions.dims[0] as number, 1, length, half]);
  };
  return restored(call, turned(call.node, x, { cos: rows(2), sin: rows(3) }));
};

/** [B, H, S, D], also from [B, S, H·D]; without a number of heads their width is that of the tables. */
function headsOf({ node }: OpCall, x: tf.Tensor, half: number): tf.Tensor {
  if (x.rank === 4) return x;
  return splitHeads(x, intAttribute(node, 'num_heads', 0) || (x.shape[2] as number) / (2 * half));
}

function restored(call: OpCall, y: tf.Tensor): tf.Tensor {
  return dimsOf(input(call, 0)).length === 4 ? y : joinHeads(y);
}

/** Turns the first features of x, [B, H, S, D]; pairs are neighbours, or lie half the turned width apart. */
function turned(node: GraphNode, x: tf.Tensor, { cos, sin }: Tables): tf.Tensor {
  const depth = x.shape[3] as number;
  const width = intAttribute(node, 'rotary_embedding_dim', 0) || depth;
  const interleaved = intAttribute(node, 'interleaved', 0) === 1;
  const part = (start: number, count: number, step: number) =>
    sliceAxis(x, { axis: 3, start, count, step }) as tf.Tensor;
  const half = width / 2;
  // Tables may be as wide as for a rotation of all features.
  const table = (x: tf.Tensor) =>
    sliceAxis(x, { axis: x.rank - 1, start: 0, count: half, step: 1 }) as tf.Tensor;
  const [c, s] = [table(cos), table(sin)];
  const [a, b] = interleaved ? [part(0, half, 2), part(1, half, 2)] : [part(0, half, 1), part(half, half, 1)];
  const real = tf.sub(tf.mul(c, a), tf.mul(s, b));
  const imaginary = tf.add(tf.mul(s, a), tf.mul(c, b));
  const joined = interleaved
    ? tf.reshape(tf.concat([tf.expandDims(real, 4), tf.expandDims(imaginary, 4)], 4), [
        ...x.shape.slice(0, 3),
        width,
      ])
    : tf.concat([real, imaginary], 3);
  return width === depth ? joined : tf.concat([joined, part(width, depth - width, 1)], 3);
}

const packedBatch = (node: GraphNode) =>
  intAttribute(node, 'is_packed_batching', 0) === 1 ? 'is_packed_batching = 1' : undefined;

export const rotaryOps: OpTable = {
  RotaryEmbedding: [{ since: 23, evaluate: rotary }],
  'com.microsoft.RotaryEmbedding': [{ since: 1, evaluate: rotaryMicrosoft, unsupported: packedBatch }],
};
