/** onnxruntime's GroupQueryAttention in plain nodes: as onnxruntime-genai and its optimiser write decoders, with a cache or without. */
import { floatAttribute, intAttribute } from '../graph.ts';
import { joinHeads, plainAttention, repeatHeads, scaleOf, splitHeads } from './attention-core.ts';
import type { NodeBuilder, Unfold } from './node-builder.ts';
import { rotate, tableRows } from './rotary.ts';

/** A place ahead of every query. */
const FAR = 2 ** 52;

/** Where things stand in their sequences. */
interface Places {
  /** Of new queries and keys: [B, S], or [1, S] where all begin at the first. */
  readonly fresh: string;
  /** Of all keys, cached ones first: [B, P + S]. What a cache holds beyond an example's own stands ahead of all. */
  readonly keys: string;
}

interface Cache extends Places {
  /** Keys of an example that are in the cache: [B, 1]. */
  readonly earlier: string;
  /** P, an int64 scalar. */
  readonly room: string;
  /** Places of what is handed on: T, an int64 scalar. */
  readonly handedOn: string;
}

/**
 * Grouped key heads, causal, with rotation inside if asked for. Keys and values are attended to as they come, cached ones first, and
 * put in the order of their places for the next run only: examples may have different numbers of them.
 */
export const groupQueryAttention: Unfold = (b) => {
  const { node } = b;
  const heads = intAttribute(node, 'num_heads', 0);
  const groups = intAttribute(node, 'kv_num_heads', 0);
  const window = intAttribute(node, 'local_window_size', -1);
  const [query = ''] = node.inputs;
  const width = b.fixed(query, -1);
  if (width === undefined || heads === 0 || groups === 0 || isBeyond(b)) return undefined;
  const [key, value, pastKeys, pastValues] = [b.input(1), b.input(2), b.input(3), b.input(4)];
  const apart = key !== undefined && value !== undefined;
  const depth = apart ? width / heads : width / (heads + 2 * groups);
  const sizes = [heads * depth, groups * depth, groups * depth];
  const parts = apart ? [query, key, value] : b.split(query, 2, sizes);
  const [q = '', k = '', v = ''] = parts.map((part, i) =>
    splitHeads(b, part, i === 0 ? heads : groups, depth),
  );
  const cache = pastKeys && pastValues ? cachePlaces(b, q, pastKeys) : undefined;
  const places = cache ?? placesFromStart(b, q);
  const turning = intAttribute(node, 'do_rotary', 0) === 1;
  const turn = (x: string) => (turning ? turned(b, x, depth, places.fresh) : x);
  const [freshQueries, freshKeys] = [turn(q), turn(k)];
  if (freshQueries === undefined || freshKeys === undefined) return undefined;
  const behind = (past: string | undefined, fresh: string) => (past ? b.concat([past, fresh], 2) : fresh);
  const [keys, values] = [behind(pastKeys, freshKeys), behind(pastValues, v)];
  const score = b.input(10);
  const sink = sinkOf(b, heads);
  const mixed = plainAttention(b, {
    q: freshQueries,
    k: repeatHeads(b, keys, { groups, heads, depth }),
    v: repeatHeads(b, values, { groups, heads, depth }),
    scale: scaleOf(b, depth),
    softcap: floatAttribute(node, 'softcap', 0),
    allowed: mayLook(b, places, window),
    biases: score ? [score] : [],
    ...(sink ? { sink } : {}),
  });
  const handedOn = (x: string) => (cache ? inOrder(b, x, cache, { groups, depth }) : x);
  return [
    joinHeads(b, mixed, heads * depth),
    ...(b.wants(1) || b.wants(2) ? [handedOn(keys), handedOn(values)] : []),
  ];
};

/** Scores handed out, quantised caches, biases by place over keys that are not in the order of their places. */
function isBeyond(b: NodeBuilder): boolean {
  const isCached = b.input(3) !== undefined;
  return (
    b.wants(3) ||
    isCached !== (b.input(4) !== undefined) ||
    (isCached && (b.input(10) !== undefined || b.input(5) === undefined || b.input(6) === undefined)) ||
    b.input(12) !== undefined ||
    b.input(13) !== undefined
  );
}

function placesFromStart(b: NodeBuilder, q: string): Places {
  const fresh = b.unsqueeze(b.range(b.length(q, 2)), [0]);
  return { fresh, keys: fresh };
}

/** An example's cache holds what its length says beyond the new ones; a first run, whose new ones are all there are, reads none. */
function cachePlaces(b: NodeBuilder, q: string, past: string): Cache {
  const fresh = b.length(q, 2);
  const room = b.length(past, 2);
  const total = b.reshape(b.cast(b.input(6) ?? '', 'int64'), [1]);
  const lengths = b.op('Add', [b.reshape(b.cast(b.input(5) ?? '', 'int64'), [-1]), b.integer(1)]);
  const held = b.op('Where', [b.op('Equal', [total, fresh]), b.integer(0), b.op('Sub', [lengths, fresh])]);
  const earlier = b.unsqueeze(held, [1]);
  const own = b.op('Add', [earlier, b.unsqueeze(b.range(fresh), [0])]);
  const slots = b.unsqueeze(b.range(room), [0]);
  const cached = b.op('Where', [b.op('Less', [slots, earlier]), slots, b.integer(FAR)]);
  const handedOn = b.squeeze(b.op('Max', [total, b.unsqueeze(room, [0])]), [0]);
  return { fresh: own, keys: b.concat([cached, own], 1), earlier, room, handedOn };
}

/** Booleans that broadcast to [B, H, S, T]: not ahead, and not too far behind. */
function mayLook(b: NodeBuilder, { fresh, keys }: Places, window: number): string[] {
  const [at, places] = [b.unsqueeze(fresh, [1, 3]), b.unsqueeze(keys, [1, 2])];
  const not = (closed: string) => b.op('Not', [closed]);
  const far = () => b.op('Greater', [b.op('Sub', [at, places]), b.integer(window - 1)]);
  return [not(b.op('Greater', [places, at])), ...(window > 0 ? [not(far())] : [])];
}

/** Keys or values [B, G, P + S, D] at their places, [B, G, T, D], and zeros where an example has none. */
function inOrder(
  b: NodeBuilder,
  x: string,
  { earlier, fresh, room, handedOn }: Cache,
  { groups, depth }: { groups: number; depth: number },
): string {
  const places = b.unsqueeze(b.range(handedOn), [0]);
  const next = b.op('Add', [earlier, b.length(fresh, 1)]);
  const isThere = b.op('Less', [places, next]); // [B, T]
  const moved = b.op('Sub', [b.op('Add', [places, room]), earlier]);
  const from = b.op('Where', [b.op('Less', [places, earlier]), places, moved]);
  const safe = b.op('Where', [isThere, from, b.integer(0)]);
  const shape = b.constant({
    dtype: 'int64',
    dims: [4],
    data: BigInt64Array.of(1n, BigInt(groups), 1n, BigInt(depth)),
  });
  const indices = b.op('Expand', [b.unsqueeze(safe, [1, 3]), shape]);
  const picked = b.op('GatherElements', [x, indices], { axis: { kind: 'int', value: 2 } });
  return b.op('Mul', [picked, b.unsqueeze(b.cast(isThere, 'float32'), [1, 3])]);
}

/** Rotation by the places of new queries and keys, or by ids that are given, [B, S]. */
function turned(b: NodeBuilder, x: string, depth: number, places: string): string | undefined {
  const [cos, sin, ids] = [b.input(7), b.input(8), b.input(9)];
  const half = cos && b.fixed(cos, -1);
  if (!cos || !sin || !half) return undefined;
  const rows = (table: string) => b.unsqueeze(tableRows(b, table, ids ?? places, half), [1]);
  const interleaved = intAttribute(b.node, 'rotary_interleaved', 0) === 1;
  return rotate(b, x, { cos: rows(cos), sin: rows(sin), half, depth, interleaved });
}

/** A score for nothing: given by head, or 0 where the softmax is to be smooth. */
function sinkOf(b: NodeBuilder, heads: number): string | undefined {
  const given = b.input(11);
  if (given !== undefined) return b.reshape(given, [1, heads, 1, 1]);
  return intAttribute(b.node, 'smooth_softmax', 0) === 1 ? b.scalar(0) : undefined;
}
