/** onnxruntime's fused attentions (com.microsoft) in plain nodes: as its optimisers leave them in a file. */
import { floatAttribute, intAttribute, intsAttribute } from '../graph.ts';
import { causal, joinHeads, plainAttention, scaleOf, splitHeads } from './attention-core.ts';
import { type NodeBuilder, type Unfold, vectorPart } from './node-builder.ts';

/** Scores of masked keys get this added; onnxruntime's default. */
const FILTER = -10000;

/** One matrix for query, key and value: a linear, a split, and attention. The cache is [2, B, H, P, D]. */
export const packedAttention: Unfold = (b) => {
  const { node } = b;
  const [x = '', matrix = '', bias] = node.inputs;
  const heads = intAttribute(node, 'num_heads', 0);
  const width = b.fixed(matrix, 1);
  if (isBeyond(b) || width === undefined || heads === 0) return undefined;
  const sizes = intsAttribute(node, 'qkv_hidden_sizes') ?? [width / 3, width / 3, width / 3];
  const [own = 0, , ofValue = 0] = sizes;
  const padding = paddingMask(b, b.input(3));
  if (padding === undefined) return undefined;
  const product = b.op('MatMul', [x, matrix]);
  const packed = bias ? b.op('Add', [product, bias]) : product;
  const parts = b.split(packed, 2, sizes);
  const [q = '', key = '', value = ''] = parts.map((part, i) =>
    splitHeads(b, part, heads, (sizes[i] as number) / heads),
  );
  const past = b.input(4);
  const cached = (index: number, fresh: string) =>
    past ? b.concat([b.squeeze(b.slice(past, 0, index, index + 1), [0]), fresh], 2) : fresh;
  const [k, v] = [cached(0, key), cached(1, value)];
  const score = b.input(5);
  const mixed = plainAttention(b, {
    q,
    k,
    v,
    scale: scaleOf(b, own / heads),
    allowed: forward(b, q, k),
    biases: [...padding, ...(score ? [score] : [])],
  });
  const present = () =>
    b.concat(
      [k, v].map((part) => b.unsqueeze(part, [0])),
      0,
    );
  return [joinHeads(b, mixed, ofValue), ...(b.wants(1) ? [present()] : [])];
};

/** Query, key and value apart, [B, S, H·D] each (key and value also [B, H, T, D]), with one bias for all three. */
export const multiHeadAttention: Unfold = (b) => {
  const { node } = b;
  const heads = intAttribute(node, 'num_heads', 0);
  const padding = paddingMask(b, b.input(4));
  const given = projections(b, heads);
  if (isBeyond(b) || !given || padding === undefined) return undefined;
  const bias = b.input(3);
  let start = 0;
  const [q = '', key = '', value = ''] = given.map(({ x, width, split }) => {
    if (split) return x;
    const end = start + width;
    const own = bias && vectorPart(b, bias, start, end);
    start = end;
    return splitHeads(b, own ? b.op('Add', [x, own]) : x, heads, width / heads);
  });
  const cached = (past: string | undefined, x: string) => (past === undefined ? x : b.concat([past, x], 2));
  const [k, v] = [cached(b.input(6), key), cached(b.input(7), value)];
  const score = b.input(5);
  const [own, , last] = given;
  const mixed = plainAttention(b, {
    q,
    k,
    v,
    scale: scaleOf(b, (own?.width ?? 0) / heads),
    allowed: forward(b, q, k),
    biases: [...padding, ...(score ? [score] : [])],
  });
  return [joinHeads(b, mixed, last?.width ?? 0), k, v];
};

interface Projection {
  readonly x: string;
  /** Of all heads. */
  readonly width: number;
  /** [B, H, T, D] already? */
  readonly split: boolean;
}

/** Forms packed by head, of five axes, are for CUDA: onnxruntime's cpu does not run them, so no file with them gets here. */
function projections(b: NodeBuilder, heads: number): Projection[] | undefined {
  const plain = (index: number): Projection | undefined => {
    const x = b.input(index);
    const last = x === undefined ? undefined : b.fixed(x, -1);
    if (x === undefined || last === undefined) return undefined;
    return b.rank(x) === 4 ? { x, width: heads * last, split: true } : { x, width: last, split: false };
  };
  const found = [0, 1, 2].map(plain);
  return found.includes(undefined) || heads === 0 ? undefined : (found as Projection[]);
}

function forward(b: NodeBuilder, q: string, k: string): string[] {
  return intAttribute(b.node, 'unidirectional', 0) === 1 ? [causal(b, q, k, true)] : [];
}

/** Rotation inside, buffers shared with the caller, beam search. */
function isBeyond(b: NodeBuilder): boolean {
  const { node } = b;
  return (
    intAttribute(node, 'do_rotary', 0) === 1 ||
    intAttribute(node, 'past_present_share_buffer', 0) === 1 ||
    node.outputs.slice(3).some((name) => name !== '') ||
    node.inputs.slice(node.opType === 'Attention' ? 6 : 8).some((name) => name !== '')
  );
}

/**
 * What masked keys get added: by one flag a key [B, T], one a query and key [B, S, T], or a number of keys an example [B].
 * @returns none where there is no mask, undefined for other forms
 */
function paddingMask(b: NodeBuilder, mask: string | undefined): string[] | undefined {
  if (mask === undefined) return [];
  const rank = b.rank(mask);
  const filter = b.scalar(floatAttribute(b.node, 'mask_filter_value', FILTER));
  const added = (open: string) => b.op('Where', [open, b.scalar(0), filter]);
  if (rank === 2) return [added(b.unsqueeze(b.cast(mask, 'bool'), [1, 2]))];
  if (rank === 3) return [added(b.unsqueeze(b.cast(mask, 'bool'), [1]))];
  // One length an example; longer vectors hold starts or cumulative lengths too.
  if (rank !== 1 || !b.sameLength(mask, 0, b.node.inputs[0] ?? '', 0)) return undefined;
  // Without a cache there are as many keys as the sequence they come from has places.
  const [x = '', own] = b.node.inputs;
  const source = b.node.opType === 'Attention' ? x : (own ?? '');
  const pasts = b.node.opType === 'Attention' ? b.input(4) : b.input(6);
  if (pasts !== undefined || b.rank(source) !== 3) return undefined;
  const places = b.unsqueeze(b.range(b.length(source, 1)), [0]); // [1, T]
  const open = b.op('Less', [places, b.unsqueeze(b.cast(mask, 'int64'), [1])]);
  return [added(b.unsqueeze(open, [1, 2]))];
}
