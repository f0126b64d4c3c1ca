/** Small pieces of graph that many rules write. Every function adds nodes and returns the name of their result. */
import type { Attribute } from '../graph/graph.ts';
import type { Builder } from './builder.ts';

/** ReduceSum takes its axes as an input from opset 13 on, the other reductions from here on. */
const REDUCE_INPUTS = 18;

export const int = (value: number): Attribute => ({ kind: 'int', value });
export const ints = (value: readonly number[]): Attribute => ({ kind: 'ints', value });
export const float = (value: number): Attribute => ({ kind: 'float', value });

export const text = (value: string): Attribute => ({ kind: 'string', value });

export const neg = (b: Builder, x: string): string => b.add('Neg', [x]);
export const mul = (b: Builder, x: string, y: string): string => b.add('Mul', [x, y]);
export const scale = (b: Builder, x: string, by: number): string =>
  by === 1 ? x : b.add('Mul', [x, b.scalar(by)]);

/** x [...] to the shape of a forward value with as many elements. */
export function reshapeLike(b: Builder, x: string, value: string): string {
  const dims = b.dims(value);
  const free = dims.filter((length) => length === undefined).length;
  // With one free length or none -1 says it all; a length of zero would read as "copy".
  if (free <= 1 && !dims.includes(0))
    return b.add('Reshape', [x, b.integers(dims.map((length) => length ?? -1))]);
  return b.add('Reshape', [x, b.add('Shape', [value])]);
}

export function reduceSum(b: Builder, x: string, axes: readonly number[], keep: boolean): string {
  return b.add('ReduceSum', [x, b.integers(axes)], { keepdims: int(keep ? 1 : 0) });
}

/** ReduceMean, ReduceMax or ReduceMin. */
export function reduceBy(
  b: Builder,
  opType: string,
  x: string,
  axes: readonly number[],
  keep: boolean,
): string {
  const keepdims = int(keep ? 1 : 0);
  return b.opset >= REDUCE_INPUTS
    ? b.add(opType, [x, b.integers(axes)], { keepdims })
    : b.add(opType, [x], { keepdims, axes: ints(axes) });
}

/** Axes along which `value` was repeated to broadcast to `target`, counted in the target's axes. */
function broadcastAxes(b: Builder, value: string, target: string): number[] {
  const [small, large] = [b.dims(value), b.dims(target)];
  const missing = large.length - small.length;
  return large.flatMap((length, axis) =>
    axis < missing || (small[axis - missing] === 1 && length !== 1) ? [axis] : [],
  );
}

/**
 * The gradient of a value that broadcast to `target`, from a gradient of the target's shape: summed over what was repeated.
 * @param gradient [the shape of target]
 */
export function sumToShape(b: Builder, gradient: string, value: string, target: string): string {
  const axes = broadcastAxes(b, value, target);
  if (axes.length === 0) return gradient;
  const missing = b.dims(target).length - b.dims(value).length;
  if (axes.length === missing) return reduceSum(b, gradient, axes, false);
  const summed = reduceSum(b, gradient, axes, true);
  return missing === 0 ? summed : reshapeLike(b, summed, value);
}

/** With the last two axes exchanged. */
export function transposed(b: Builder, x: string, rank: number): string {
  const perm = Array.from({ length: rank }, (_, axis) => axis);
  [perm[rank - 2], perm[rank - 1]] = [rank - 1, rank - 2];
  return b.add('Transpose', [x], { perm: ints(perm) });
}

/** The length of a forward value along an axis, as a vector of one int64. */
export function lengthOf(b: Builder, value: string, axis: number): string {
  const length = b.dims(value)[axis];
  return length === undefined
    ? b.add('Shape', [value], { start: int(axis), end: int(axis + 1) })
    : b.integers([length]);
}

/** Zeros of a forward value's shape. */
export function zerosLike(b: Builder, value: string): string {
  return b.add('Expand', [b.scalar(0), b.add('Shape', [value])]);
}

/** Axis counted from the front. */
export function axisFromFront(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}
