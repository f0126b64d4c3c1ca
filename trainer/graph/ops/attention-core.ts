/** Scaled dot-product attention, as the attention operators of ONNX and of onnxruntime share it, and the masks they bring. */
import * as tf from '@tensorflow/tfjs-core';
import { type HostValue, hostValue, isHost, mapHost, toDevice, type Value } from '../value.ts';
import { matmul, type Sides } from './linear.ts';

export interface AttentionInputs {
  readonly q: tf.Tensor; // [B, H, S, D]
  readonly k: tf.Tensor; // [B, G, T, D], G divides H: each key head serves H / G query heads
  readonly v: tf.Tensor; // [B, G, T, E]
  readonly scale: number;
  /** Added to the scores; broadcasts to [B, H, S, T]. Minus infinity forbids. */
  readonly bias?: Value | undefined;
  /** Scores are squashed to ± this by tanh, before the bias; 0 leaves them. */
  readonly softcap?: number;
  /** Do gradients flow through q, k, v, and through the bias? */
  readonly gradient: readonly [q: boolean, k: boolean, v: boolean, bias?: boolean];
}

export interface AttentionResult {
  readonly y: tf.Tensor; // [B, H, S, E]
  /** [B, H, S, T] each: q·k scaled, then squashed, then with bias, then after softmax. */
  readonly stages: readonly [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
}

/** Below every score, and still finite: a row of it has a softmax. */
const FORBIDDEN = -1e30;

/** A query that no key is open to gets zeros. */
export function attend({ q, k, v, scale, bias, softcap = 0, gradient }: AttentionInputs): AttentionResult {
  const heads = q.shape[1] as number;
  const turned = tf.transpose(repeatHeads(k, heads), [0, 1, 3, 2]); // [B, H, D, T]
  const sides: Sides = [gradient[0], gradient[1]];
  const raw = tf.mul(matmul(q, turned, sides), scale);
  const capped = softcap > 0 ? tf.mul(tf.tanh(tf.div(raw, softcap)), softcap) : raw;
  const added = bias === undefined ? capped : tf.add(capped, toDevice(finite(bias)));
  const open = bias !== undefined && isHost(bias) ? openRows(bias) : undefined;
  const soft = tf.softmax(added);
  const weights = open === undefined ? soft : tf.mul(soft, toDevice(open));
  const scored = gradient[0] || gradient[1] || gradient[3] === true;
  const y = matmul(weights, repeatHeads(v, heads), [scored, gradient[2]]);
  return { y, stages: [raw, capped, bias === undefined ? capped : tf.add(capped, toDevice(bias)), weights] };
}

/** [B, G, T, D] to [B, H, T, D]: head g serves heads g·H/G to (g + 1)·H/G - 1. */
function repeatHeads(x: tf.Tensor, heads: number): tf.Tensor {
  const [batch, groups, length, depth] = x.shape as [number, number, number, number];
  if (groups === heads) return x;
  const wide = tf.tile(tf.expandDims(x, 2), [1, 1, heads / groups, 1, 1]);
  return tf.reshape(wide, [batch, heads, length, depth]);
}

function finite(bias: Value): Value {
  if (!isHost(bias)) return tf.maximum(bias, FORBIDDEN);
  return mapHost('float32', [bias], (x) => Math.max(x, FORBIDDEN));
}

/** 1 for rows in which some key is open, 0 for the others; undefined where all are open. */
function openRows(bias: HostValue): HostValue | undefined {
  const width = bias.dims.at(-1) ?? 1;
  const rows = Array.from({ length: bias.data.length / Math.max(width, 1) }, (_, r) =>
    bias.data.subarray(r * width, (r + 1) * width).some((x) => x > -Infinity) ? 1 : 0,
  );
  return rows.includes(0) ? hostValue('float32', [...bias.dims.slice(0, -1), 1], rows) : undefined;
}

/** Zero where a query may look, `filter` where it may not: [batch, 1, queries, keys]. */
export function maskWhere(
  dims: readonly [batch: number, queries: number, keys: number],
  allowed: (batch: number, query: number, key: number) => boolean,
  filter = Number.NEGATIVE_INFINITY,
): HostValue {
  const [batch, queries, keys] = dims;
  const data = new Float64Array(batch * queries * keys);
  for (let i = 0; i < data.length; i++) {
    const [b, s, t] = [Math.floor(i / (queries * keys)), Math.floor(i / keys) % queries, i % keys];
    if (!allowed(b, s, t)) data[i] = filter;
  }
  return hostValue('float32', [batch, 1, queries, keys], data);
}

/** The sum of the masks that are there. */
export function addMasks(...masks: readonly (Value | undefined)[]): Value | undefined {
  return masks.reduce((sum, mask) => {
    if (sum === undefined || mask === undefined) return sum ?? mask;
    if (isHost(sum) && isHost(mask)) return mapHost('float32', [sum, mask], (a, b) => a + b);
    return tf.add(toDevice(sum), toDevice(mask));
  }, undefined);
}

/** [B, S, H·D] to [B, H, S, D]. */
export function splitHeads(x: tf.Tensor, heads: number): tf.Tensor {
  const [batch, length, width] = x.shape as [number, number, number];
  return tf.transpose(tf.reshape(x, [batch, length, heads, width / heads]), [0, 2, 1, 3]);
}

/** [B, H, S, D] to [B, S, H·D]. */
export function joinHeads(x: tf.Tensor): tf.Tensor {
  const [batch, heads, length, depth] = x.shape as [number, number, number, number];
  return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [batch, length, heads * depth]);
}
