/** The blocks that layouts are made of, and the sizes that all share. */
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import type { Graph } from '../graph/graph.ts';

export interface Architecture {
  readonly name: string;
  readonly graph: () => Graph;
  /** `kind heads[/kvHeads] x units`, in order. */
  readonly pairs: readonly string[];
  /** Must occur among the reasons of what is left alone. */
  readonly reason?: RegExp;
}

export const WIDTH = 16;
export const HEADS = 4;
export const HEAD = 6;
export const INNER = HEADS * HEAD;

export type Block = (b: GraphBuilder, x: string) => string;

/** The blocks one after the other, each behind a norm and inside a residual sum. */
export function model(...blocks: Block[]): Graph {
  return modelOf(undefined, ...blocks);
}

/** The same at an opset. */
export function modelOf(opset: number | undefined, ...blocks: Block[]): Graph {
  const b = new GraphBuilder();
  let x = b.input('x', ['batch', 'length', WIDTH]);
  for (const block of blocks) x = b.op('Add', [x, block(b, norm(b, x))]);
  return b.build({ y: [norm(b, x), ['batch', 'length', WIDTH]] }, opset);
}

export function norm(b: GraphBuilder, x: string): string {
  return b.op('LayerNormalization', [x, b.weight(WIDTH), b.weight(WIDTH)], { axis: -1 });
}

/** [batch, length, heads * size] to [batch, heads, length, size]. */
export function heads(b: GraphBuilder, x: string, count: number, size: number): string {
  return b.op('Transpose', [b.op('Reshape', [x, b.ints(0, 0, count, size)])], { perm: [0, 2, 1, 3] });
}

/** Scores, Softmax, mix and output projection of heads [batch, heads, length, size]. */
export function attend(b: GraphBuilder, q: string, k: string, v: string, size = HEAD): string {
  const scores = b.op('MatMul', [q, b.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
  return project(b, b.op('MatMul', [b.op('Softmax', [scores], { axis: -1 }), v]), size);
}

export function project(b: GraphBuilder, mixed: string, size = HEAD): string {
  const rows = b.op('Transpose', [mixed], { perm: [0, 2, 1, 3] });
  const joined = b.op('Reshape', [rows, b.ints(0, 0, HEADS * size)]);
  return b.linear(joined, b.weight(HEADS * size, WIDTH), b.weight(WIDTH));
}

export function threeHeads(b: GraphBuilder, x: string): [string, string, string] {
  const make = () => heads(b, b.linear(x, b.weight(WIDTH, INNER), b.weight(INNER)), HEADS, HEAD);
  return [make(), make(), make()];
}

export function int(b: GraphBuilder, value: bigint): string {
  return b.constant({ dtype: 'int64', dims: [], data: BigInt64Array.of(value) });
}

/** Length of axis 1, a scalar. */
export function length(b: GraphBuilder, x: string): string {
  return b.op('Gather', [b.op('Shape', [x]), int(b, 1n)]);
}

/** Positions 0, 1, ... as angles [length, size]. */
export function angles(b: GraphBuilder, x: string, size: number): string {
  const positions = b.op('Cast', [b.op('Range', [int(b, 0n), length(b, x), int(b, 1n)])], { to: 1 });
  return b.op('Mul', [b.op('Unsqueeze', [positions, b.ints(1)]), b.weight(size)]);
}

/** x cos + rotateHalf(x) sin with tables [length, size]. */
export function rotateHalves(b: GraphBuilder, x: string, cos: string, sin: string, size: number): string {
  const [first, second] = [b.slice(x, 3, 0, size / 2), b.slice(x, 3, size / 2, 2 ** 53)];
  const turned = b.op('Concat', [b.op('Neg', [second]), first], { axis: -1 });
  return b.op('Add', [b.op('Mul', [x, cos]), b.op('Mul', [turned, sin])]);
}

export function tables(b: GraphBuilder, x: string, half: number): [string, string] {
  const once = angles(b, x, half);
  const twice = b.op('Concat', [once, once], { axis: -1 });
  return [b.op('Cos', [twice]), b.op('Sin', [twice])];
}

export const ATTENTION = [`query-key 4x${HEAD}`, `value-projection 4x${HEAD}`];

export function mlp(b: GraphBuilder, x: string): string {
  const hidden = b.op('Gelu', [b.linear(x, b.weight(WIDTH, 32), b.weight(32))]);
  return b.linear(hidden, b.weight(32, WIDTH), b.weight(WIDTH));
}
