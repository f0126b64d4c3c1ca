/** ONNX's own attention (opset 23 and later): grouped heads, causal and other masks, a cache, four things to look at. */
import * as tf from '@tensorflow/tfjs-core';
import { floatAttribute, intAttribute } from '../graph.ts';
import { dimsOf, isHost, mapHost, toDevice, toHost, type Value } from '../value.ts';
import { addMasks, attend, joinHeads, maskWhere, splitHeads } from './attention-core.ts';
import { type Evaluate, input, numbers, type OpCall, type OpTable } from './op.ts';
import { padConstant } from './pad.ts';

const attention: Evaluate = (call) => {
  const { node } = call;
  const packed = dimsOf(input(call, 0)).length === 3;
  const heads = (index: number, name: string) => {
    const x = toDevice(input(call, index));
    return packed ? splitHeads(x, intAttribute(node, name, 1)) : x;
  };
  const q = heads(0, 'q_num_heads'); // [B, H, S, D]
  const k = withPast(call, 4, heads(1, 'kv_num_heads')); // [B, G, T, D]
  const v = withPast(call, 5, heads(2, 'kv_num_heads'));
  const { y, stages } = attend({
    q,
    k,
    v,
    scale: floatAttribute(node, 'scale', 1 / Math.sqrt(q.shape[3] as number)),
    softcap: floatAttribute(node, 'softcap', 0),
    bias: addMasks(givenMask(call, k.shape[2] as number), positionMask(call, q, k)),
    gradient: [flows(call, 0), flows(call, 1, 4), flows(call, 2, 5), flows(call, 3)],
  });
  const shown = stages[intAttribute(node, 'qk_matmul_output_mode', 0)] as tf.Tensor;
  return [packed ? joinHeads(y) : y, k, v, shown].slice(0, Math.max(1, node.outputs.length));
};

const flows = (call: OpCall, ...inputs: number[]) => inputs.some((index) => call.gradient[index] === true);

/** The cache in front of what is new, along the positions. */
function withPast(call: OpCall, index: number, x: tf.Tensor): tf.Tensor {
  const past = call.inputs[index];
  return past === undefined ? x : tf.concat([toDevice(past), x], 2);
}

/** The node's mask: true or zero lets look. Keys that it is too short for are closed. */
function givenMask(call: OpCall, keys: number): Value | undefined {
  const given = call.inputs[3];
  if (given === undefined) return undefined;
  // A mask that no gradient flows through is looked at, so that closed rows are known.
  const mask = isHost(given) || !flows(call, 3) ? toHost(given) : given;
  const open = given.dtype === 'bool' ? mapHost('float32', [toHost(mask)], (x) => (x ? 0 : -Infinity)) : mask;
  const missing = keys - (dimsOf(open).at(-1) ?? 0);
  if (missing <= 0) return open;
  const around = dimsOf(open).map((_, axis) => [0, axis === dimsOf(open).length - 1 ? missing : 0] as const);
  return padConstant(open, around, Number.NEGATIVE_INFINITY);
}

/** Causality, a sliding window and the cache's filling, which all go by position. */
function positionMask(call: OpCall, q: tf.Tensor, k: tf.Tensor): Value | undefined {
  const { node } = call;
  const causal = intAttribute(node, 'is_causal', 0) === 1;
  const left = intAttribute(node, 'left_window_size', -1);
  const right = intAttribute(node, 'right_window_size', -1);
  const filled = numbers(call, 6);
  if (!causal && left < 0 && right < 0 && filled === undefined) return undefined;
  const [queries, keys] = [q.shape[2] as number, k.shape[2] as number];
  const past = call.inputs[4];
  const before = (b: number) => {
    if (past !== undefined) return dimsOf(past)[2] as number;
    return filled === undefined ? 0 : (filled[b] as number) - queries;
  };
  return maskWhere([filled?.length ?? 1, queries, keys], (b, s, t) => {
    const ahead = t - (s + before(b));
    if (causal && ahead > 0) return false;
    if ((left >= 0 && -ahead > left) || (right >= 0 && ahead > right)) return false;
    return filled === undefined || t < (filled[b] as number);
  });
}

export const attentionOps: OpTable = {
  Attention: [{ since: 23, evaluate: attention }],
};
