/** onnxruntime's fused attentions (com.microsoft), as its optimiser leaves them in a file. */
import * as tf from '@tensorflow/tfjs-core';
import { SppError } from '../../../schema/errors.ts';
import { floatAttribute, type GraphNode, intAttribute, intsAttribute } from '../graph.ts';
import { type HostValue, toDevice, toHost } from '../value.ts';
import { addMasks, attend, joinHeads, maskWhere, splitHeads } from './attention-core.ts';
import { matmul } from './linear.ts';
import { always, type Evaluate, input, type OpCall, type OpTable } from './op.ts';
import { sliceAxis } from './slice.ts';

const flows = (call: OpCall, ...inputs: number[]) => inputs.some((index) => call.gradient[index] === true);

/** Scores of masked keys get this added; onnxruntime's default. */
const FILTER = -10000;

/** x [B, S, D] through one matrix [D, Q + K + V] with bias, then attention; the cache is [2, B, H, P, D]. */
const attention: Evaluate = (call) => {
  const { node } = call;
  const heads = intAttribute(node, 'num_heads', 1);
  const product = matmul(toDevice(input(call, 0)), toDevice(input(call, 1)), [
    flows(call, 0),
    flows(call, 1),
  ]);
  const bias = call.inputs[2];
  const packed = bias === undefined ? product : tf.add(product, toDevice(bias));
  const third = (packed.shape[2] as number) / 3;
  const sizes = intsAttribute(node, 'qkv_hidden_sizes') ?? [third, third, third];
  let start = 0;
  const [q, own, values] = sizes.map((count) => {
    const part = sliceAxis(packed, { axis: 2, start, count, step: 1 }) as tf.Tensor;
    start += count;
    return splitHeads(part, heads);
  }) as [tf.Tensor, tf.Tensor, tf.Tensor];
  const past = call.inputs[4] && toDevice(call.inputs[4]);
  const cached = (index: number, x: tf.Tensor) =>
    past
      ? tf.concat(
          [tf.squeeze(sliceAxis(past, { axis: 0, start: index, count: 1, step: 1 }) as tf.Tensor, [0]), x],
          2,
        )
      : x;
  const [k, v] = [cached(0, own), cached(1, values)];
  const all = flows(call, 0, 1, 2, 4);
  const y = run(call, q, k, v, { mask: 3, bias: 5 }, [all, all, all]);
  return node.outputs.length < 2 ? y : [y, tf.stack([k, v])];
};

/** Query, key and value apart, [B, S, H·D] each (key and value also [B, H, T, D]), with a common bias [3·H·D]. */
const multiHead: Evaluate = (call) => {
  const { node } = call;
  const heads = intAttribute(node, 'num_heads', 1);
  const given = [0, 1, 2].map((index) => call.inputs[index] && toDevice(call.inputs[index])) as (
    | tf.Tensor
    | undefined
  )[];
  const [query, key, value] = unpacked(call, given);
  const bias = call.inputs[3] && toDevice(call.inputs[3]);
  let start = 0;
  const part = (x: tf.Tensor) => {
    if (x.rank === 4) return x;
    const width = x.shape[2] as number;
    const own = bias && (sliceAxis(bias, { axis: 0, start, count: width, step: 1 }) as tf.Tensor);
    start += width;
    return splitHeads(own ? tf.add(x, own) : x, heads);
  };
  const q = part(query);
  const cached = (index: number, x: tf.Tensor) => {
    const past = call.inputs[index];
    return past ? tf.concat([toDevice(past), x], 2) : x;
  };
  const k = cached(6, part(key));
  const v = cached(7, part(value));
  const packed = given[1] === undefined || given[2] === undefined;
  const gradient = packed
    ? ([flows(call, 0, 3), flows(call, 0, 1, 3, 6), flows(call, 0, 1, 3, 7)] as const)
    : ([flows(call, 0, 3), flows(call, 1, 3, 6), flows(call, 2, 3, 7)] as const);
  const y = run(call, q, k, v, { mask: 4, bias: 5 }, gradient);
  return node.outputs.length < 2 ? y : [y, k, v].slice(0, node.outputs.length);
};

/** One query of [B, S, H, 3, D] holds all three; a key of [B, T, H, 2, D] holds the value too. */
function unpacked(
  call: OpCall,
  [query, key, value]: (tf.Tensor | undefined)[],
): [tf.Tensor, tf.Tensor, tf.Tensor] {
  const pick = (x: tf.Tensor, index: number) => {
    const [batch, length, heads, , depth] = x.shape as [number, number, number, number, number];
    return tf.reshape(sliceAxis(x, { axis: 3, start: index, count: 1, step: 1 }) as tf.Tensor, [
      batch,
      length,
      heads * depth,
    ]);
  };
  if (query?.rank === 5) return [pick(query, 0), pick(query, 1), pick(query, 2)];
  if (query && key?.rank === 5) return [query, pick(key, 0), pick(key, 1)];
  if (query && key && value) return [query, key, value];
  throw new SppError('bad-model', `Node ${call.node.name} (${call.node.opType}) lacks its key or value.`, {
    hint: 'Export the model again and check it with onnx.checker.check_model.',
  });
}

function run(
  call: OpCall,
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  at: { mask: number; bias: number },
  gradient: readonly [boolean, boolean, boolean],
): tf.Tensor {
  const [batch, , queries, depth] = q.shape as [number, number, number, number];
  const keys = k.shape[2] as number;
  const causal = intAttribute(call.node, 'unidirectional', 0) === 1;
  const given = call.inputs[at.mask];
  const bias = addMasks(
    causal ? maskWhere([1, queries, keys], (_, s, t) => t <= s + keys - queries) : undefined,
    given && paddingMask(call.node, toHost(given), [batch, queries, keys]),
    call.inputs[at.bias],
  );
  // onnxruntime takes a scale of 0 as none.
  const scale = floatAttribute(call.node, 'scale', 0) || 1 / Math.sqrt(depth);
  return joinHeads(attend({ q, k, v, scale, bias, gradient: [...gradient, flows(call, at.bias)] }).y);
}

/** Keys to leave out: by a number of keys per example (and perhaps a first one), or one flag per key, per query and key. */
function paddingMask(
  node: GraphNode,
  mask: HostValue,
  dims: [batch: number, queries: number, keys: number],
): HostValue {
  const [batch, queries, keys] = dims;
  const { data } = mask;
  const filter = floatAttribute(node, 'mask_filter_value', FILTER);
  const layouts: Readonly<Record<number, (b: number, s: number, t: number) => boolean>> = {
    1: (b, _, t) =>
      t < (data[b] as number) && t >= (data.length >= 2 * batch ? (data[batch + b] as number) : 0),
    2: (b, _, t) => data[b * keys + t] !== 0,
    3: (b, s, t) => data[(b * queries + s) * keys + t] !== 0,
  };
  const layout = layouts[mask.dims.length];
  if (layout) return maskWhere(dims, layout, filter);
  throw new SppError(
    'unsupported-op',
    `Node ${node.name} (${node.opType}) has a mask of shape [${mask.dims}].`,
    {
      hint: "Export without onnxruntime's fusions.",
    },
  );
}

const beyond = (node: GraphNode) => {
  if (intAttribute(node, 'do_rotary', 0) === 1) return 'do_rotary = 1';
  if (intAttribute(node, 'past_present_share_buffer', 0) === 1) return 'past_present_share_buffer = 1';
  if (node.outputs.slice(3).some((name) => name !== '')) return 'its fourth output';
  return node.inputs.slice(8).some((name) => name !== '') ? 'a beam-search cache' : undefined;
};

export const fusedAttentionOps: OpTable = {
  'com.microsoft.Attention': always(attention, beyond),
  'com.microsoft.MultiHeadAttention': always(multiHead, beyond),
};
