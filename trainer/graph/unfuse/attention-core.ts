/** Scaled dot-product attention in plain nodes, as the fused attentions share it. */
import { floatAttribute } from '../graph.ts';
import type { NodeBuilder } from './node-builder.ts';

/** onnxruntime's own filler: below every score, and still finite, so that a row of it has a softmax. */
const FORBIDDEN = -3.4028234663852886e38;

export interface PlainAttention {
  readonly q: string; // [B, H, S, D]
  readonly k: string; // [B, H, T, D]
  readonly v: string; // [B, H, T, E]
  readonly scale: number;
  /** Scores are squashed to ± this; 0 leaves them. */
  readonly softcap?: number;
  /** Booleans that broadcast to [B, H, S, T], all of which must let a query look; queries that may look nowhere get zeros. */
  readonly allowed?: readonly string[];
  /** Added to the scores, in this order. */
  readonly biases?: readonly string[];
  /** One more score of each head, [1, H, 1, 1], which takes attention to nothing. */
  readonly sink?: string;
}

/** @returns [B, H, S, E] */
export function plainAttention(b: NodeBuilder, attention: PlainAttention): string {
  const { q, k, v, scale, softcap = 0, allowed = [], biases = [] } = attention;
  const scaled = scale === 1 ? q : b.op('Mul', [q, b.scalar(scale)]);
  const raw = b.op('MatMul', [scaled, b.transpose(k, [0, 1, 3, 2])]); // [B, H, S, T]
  const capped =
    softcap > 0
      ? b.op('Mul', [b.op('Tanh', [b.op('Div', [raw, b.scalar(softcap)])]), b.scalar(softcap)])
      : raw;
  const [first, ...rest] = allowed;
  const open = first && rest.reduce((all, one) => b.op('And', [all, one]), first);
  const closing = open ? [b.op('Where', [open, b.scalar(0), b.scalar(FORBIDDEN)])] : [];
  const scores = [...biases, ...closing].reduce((sum, bias) => b.op('Add', [sum, bias]), capped);
  const weights = softmax(b, scores, attention.sink);
  const mixed = b.op('MatMul', [weights, v]);
  return open && mayCloseRows(b, attention) ? b.op('Mul', [mixed, anyOpen(b, open)]) : mixed;
}

function softmax(b: NodeBuilder, scores: string, sink: string | undefined): string {
  const last = (x: string) => b.op('Softmax', [x], { axis: { kind: 'int', value: -1 } });
  if (sink === undefined) return last(scores);
  const column = b.op('Mul', [b.slice(scores, 3, 0, 1), b.scalar(0)]);
  return b.slice(last(b.concat([b.op('Add', [column, sink]), scores], 3)), 3, 1, Number.MAX_SAFE_INTEGER);
}

/** Causality alone lets every query look at itself. */
function mayCloseRows(b: NodeBuilder, { allowed = [] }: PlainAttention): boolean {
  return allowed.some((value) => b.dtype(value) === 'bool');
}

/** 1 where a query may look somewhere, 0 elsewhere: [..., S, 1]. */
function anyOpen(b: NodeBuilder, open: string): string {
  return b.reduce('ReduceMax', b.cast(open, 'float32'), [-1]);
}

/** onnxruntime takes a scale of 0 as none. */
export function scaleOf({ node }: NodeBuilder, depth: number): number {
  return floatAttribute(node, 'scale', 0) || 1 / Math.sqrt(depth);
}

/** [B, S, H·D] to [B, H, S, D]. */
export function splitHeads(b: NodeBuilder, x: string, heads: number, depth: number): string {
  return b.transpose(b.reshape(x, [0, 0, heads, depth]), [0, 2, 1, 3]);
}

/** [B, H, S, D] to [B, S, H·D]. */
export function joinHeads(b: NodeBuilder, x: string, width: number): string {
  return b.reshape(b.transpose(x, [0, 2, 1, 3]), [0, 0, width]);
}

/** [B, G, T, D] to [B, H, T, D]: each of G key heads serves H / G query heads. */
export function repeatHeads(
  b: NodeBuilder,
  x: string,
  { groups, heads, depth }: { groups: number; heads: number; depth: number },
): string {
  if (groups === heads) return x;
  const shape = b.constant({
    dtype: 'int64',
    dims: [5],
    data: BigInt64Array.of(1n, 1n, BigInt(heads / groups), 1n, 1n),
  });
  const wide = b.op('Expand', [b.unsqueeze(x, [2]), shape]); // [B, G, H / G, T, D]
  return b.reshape(wide, [0, heads, -1, depth]);
}

/**
 * May query s look at key t? [S, T] booleans: not ahead of it.
 * @param q [B, H, S, D]
 * @param k [B, H, T, D]
 * @param last the last query stands at the last key, as behind a cache; else the first at the first
 */
export function causal(b: NodeBuilder, q: string, k: string, last: boolean): string {
  const [queries, keys] = [b.length(q, 2), b.length(k, 2)];
  const at = b.range(queries);
  const places = last ? b.op('Add', [at, b.op('Sub', [keys, queries])]) : at;
  return b.op('Not', [b.op('Greater', [b.unsqueeze(b.range(keys), [0]), b.unsqueeze(places, [1])])]);
}
