/** ONNX's Attention (opset 23 and later) in plain nodes. */
import { floatAttribute, intAttribute } from '../graph.ts';
import { causal, joinHeads, plainAttention, repeatHeads, splitHeads } from './attention-core.ts';
import type { NodeBuilder, Unfold } from './node-builder.ts';

export const onnxAttention: Unfold = (b) => {
  const { node } = b;
  if (b.input(6) !== undefined || b.wants(3)) return undefined; // a filled cache; scores shown
  if (intAttribute(node, 'left_window_size', -1) >= 0 || intAttribute(node, 'right_window_size', -1) >= 0)
    return undefined;
  const sizes = headSizes(b);
  const [query = '', key = '', value = ''] = node.inputs;
  if (!sizes) return undefined;
  const { heads, groups, depth, width, packed } = sizes;
  const q = packed ? splitHeads(b, query, heads, depth) : query;
  const own = packed ? splitHeads(b, key, groups, depth) : key;
  const values = packed ? splitHeads(b, value, groups, width) : value;
  const cached = (past: string | undefined, x: string) => (past === undefined ? x : b.concat([past, x], 2));
  const k = cached(b.input(4), own); // [B, G, T, D]
  const v = cached(b.input(5), values);
  const mask = b.input(3);
  if (mask !== undefined && !coversKeys(b, mask, key, packed)) return undefined;
  const bool = mask !== undefined && b.dtype(mask) === 'bool';
  const forward = intAttribute(node, 'is_causal', 0) === 1 ? [causal(b, q, k, b.input(4) !== undefined)] : [];
  const mixed = plainAttention(b, {
    q,
    k: repeatHeads(b, k, { groups, heads, depth }),
    v: repeatHeads(b, v, { groups, heads, depth: width }),
    scale: floatAttribute(node, 'scale', 1 / Math.sqrt(depth)),
    softcap: floatAttribute(node, 'softcap', 0),
    allowed: [...(bool ? [mask] : []), ...forward],
    biases: mask !== undefined && !bool ? [mask] : [],
  });
  return [packed ? joinHeads(b, mixed, heads * width) : mixed, k, v];
};

interface HeadSizes {
  /** [B, S, H·D] rather than [B, H, S, D]? */
  readonly packed: boolean;
  readonly heads: number;
  readonly groups: number;
  readonly depth: number;
  /** Of a value head. */
  readonly width: number;
}

function headSizes(b: NodeBuilder): HeadSizes | undefined {
  const [query = '', key = '', value = ''] = b.node.inputs;
  const packed = b.rank(query) === 3;
  const given = packed
    ? [intAttribute(b.node, 'q_num_heads', 0), intAttribute(b.node, 'kv_num_heads', 0)]
    : [b.fixed(query, 1), b.fixed(key, 1)];
  const [heads = 0, groups = 0] = given;
  const [last, lastOfValue] = [b.fixed(query, -1), b.fixed(value, -1)];
  if (!heads || !groups || last === undefined || lastOfValue === undefined) return undefined;
  return packed
    ? { packed, heads, groups, depth: last / heads, width: lastOfValue / groups }
    : { packed, heads, groups, depth: last, width: lastOfValue };
}

/** Masks may be shorter than the keys, which closes the rest: not written here. Behind a cache the lengths are not compared. */
function coversKeys(b: NodeBuilder, mask: string, key: string, packed: boolean): boolean {
  if (b.input(4) !== undefined) return true;
  const [own, keys] = [b.fixed(mask, -1), b.fixed(key, packed ? 1 : 2)];
  return own === undefined || own === 1 || keys === undefined || own === keys;
}
