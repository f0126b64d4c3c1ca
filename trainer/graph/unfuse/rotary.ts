/** Rotary embedding, ONNX's (opset 23) and onnxruntime's, in plain nodes. */
import { intAttribute } from '../graph.ts';
import type { NodeBuilder, Unfold } from './node-builder.ts';

interface Rotation {
  /** Broadcast to x's leading axes and `half`. */
  readonly cos: string;
  readonly sin: string;
  /** Number of couples that are turned; features behind the first 2·half stay. */
  readonly half: number;
  readonly depth: number;
  /** Are couples neighbours, or `half` apart? */
  readonly interleaved: boolean;
}

/** Turns the last of four axes of x, [..., depth]. */
export function rotate(b: NodeBuilder, x: string, rotation: Rotation): string {
  const { cos, sin, half, depth, interleaved } = rotation;
  const [even, odd] = interleaved
    ? [b.slice(x, 3, 0, 2 * half, 2), b.slice(x, 3, 1, 2 * half, 2)]
    : [b.slice(x, 3, 0, half), b.slice(x, 3, half, 2 * half)];
  const times = (left: string, right: string) => b.op('Mul', [left, right]);
  const real = b.op('Sub', [times(even, cos), times(odd, sin)]);
  const imaginary = b.op('Add', [times(even, sin), times(odd, cos)]);
  const rest = depth > 2 * half ? [b.slice(x, 3, 2 * half, depth)] : [];
  if (!interleaved) return b.concat([real, imaginary, ...rest], 3);
  const couples = b.concat(
    [real, imaginary].map((part) => b.unsqueeze(part, [4])),
    4,
  );
  return b.concat([b.reshape(couples, [0, 0, -1, 2 * half]), ...rest], 3);
}

/** Rows of a table [positions, columns] at given places, the first `half` columns. */
export function tableRows(b: NodeBuilder, table: string, places: string, half: number): string {
  return b.op('Gather', [narrowed(b, table, 1, half), places], { axis: { kind: 'int', value: 0 } });
}

/** Tables may be as wide as for a rotation of all features. */
function narrowed(b: NodeBuilder, table: string, axis: number, half: number): string {
  return b.fixed(table, axis) === half ? table : b.slice(table, axis, 0, half);
}

/** With position ids [B, S] the tables are [positions, half], without they are [B, S, half]. */
export const onnxRotary: Unfold = (b) => {
  const [x = '', cos = '', sin = '', ids = ''] = b.node.inputs;
  return turned(b, x, [cos, sin], (table, half) =>
    ids === '' ? narrowed(b, table, 2, half) : tableRows(b, table, ids, half),
  );
};

/** onnxruntime's takes positions second: [B, S], or one number for the first position of all. */
export const microsoftRotary: Unfold = (b) => {
  const [x = '', ids = '', cos = '', sin = ''] = b.node.inputs;
  if (intAttribute(b.node, 'is_packed_batching', 0) === 1) return undefined;
  const axis = b.rank(x) === 3 ? 1 : 2;
  const places = b.rank(ids) === 1 ? b.unsqueeze(b.op('Add', [b.range(b.length(x, axis)), ids]), [0]) : ids;
  return turned(b, x, [cos, sin], (table, half) => tableRows(b, table, places, half));
};

/** Heads beside or behind the positions: [B, H, S, D], or [B, S, H·D]. */
function turned(
  b: NodeBuilder,
  x: string,
  tables: readonly [cos: string, sin: string],
  rows: (table: string, half: number) => string, // [B, S, half]
): readonly string[] | undefined {
  const [rank, last, columns] = [b.rank(x), b.fixed(x, -1), b.fixed(tables[0], -1)];
  if (last === undefined || columns === undefined || (rank !== 3 && rank !== 4)) return undefined;
  const heads = intAttribute(b.node, 'num_heads', 0) || last / (2 * columns);
  const depth = rank === 3 ? last / heads : last;
  const half = (intAttribute(b.node, 'rotary_embedding_dim', 0) || depth) / 2;
  const interleaved = intAttribute(b.node, 'interleaved', 0) === 1;
  const spread = (table: string) => b.unsqueeze(rows(table, half), [rank === 3 ? 2 : 1]);
  const [cos, sin] = [spread(tables[0]), spread(tables[1])];
  const rotation: Rotation = { cos, sin, half, depth, interleaved };
  if (rank === 4) return [rotate(b, x, rotation)];
  const apart = b.reshape(x, [0, 0, heads, depth]); // [B, S, H, D]
  return [b.reshape(rotate(b, apart, rotation), [0, 0, last])];
}
