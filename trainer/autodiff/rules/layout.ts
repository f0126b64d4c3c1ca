/** Operators that keep elements and change their order, grouping or number. */
import { type GraphNode, intAttribute, intsAttribute, stringAttribute } from '../../graph/graph.ts';
import { integers } from '../../graph/rewrite.ts';
import type { Builder } from '../builder.ts';
import {
  axisFromFront,
  int,
  ints,
  lengthOf,
  reshapeLike,
  sumToShape,
  text,
  zerosLike,
} from '../expressions.ts';
import { rulesOf, type VjpRule, type VjpTable } from '../rule.ts';

const regroup: VjpRule['vjp'] = ({ build, dy, x: [x = ''] }) => [() => reshapeLike(build, dy, x)];

const transpose: VjpRule['vjp'] = ({ node, build, dy, y }) => [
  () => {
    const rank = build.dims(y).length;
    const perm = intsAttribute(node, 'perm') ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
    const inverse = perm.map((_, axis) => perm.indexOf(axis));
    return build.add('Transpose', [dy], { perm: ints(inverse) });
  },
];

const expand: VjpRule['vjp'] = ({ build, dy, x: [x = ''], y }) => [() => sumToShape(build, dy, x, y)];

/** Each input's part of the gradient, cut out where it was put in. */
const concat: VjpRule['vjp'] = ({ node, build: b, dy, x, y }) => {
  const axis = axisFromFront(intAttribute(node, 'axis', 0), b.dims(y).length);
  const offset = (count: number) => {
    const lengths = x.slice(0, count).map((value) => b.dims(value)[axis]);
    if (!lengths.includes(undefined))
      return b.integers([lengths.reduce<number>((sum, length) => sum + (length ?? 0), 0)]);
    return x
      .slice(0, count)
      .map((value) => lengthOf(b, value, axis))
      .reduce((sum, length) => b.add('Add', [sum, length]));
  };
  return x.map(
    (_, index) => () => b.add('Slice', [dy, offset(index), offset(index + 1), b.integers([axis])]),
  );
};

/** The parts' gradients joined again; parts that got none count as zero. */
const split: VjpRule['vjp'] = ({ node, build: b, gradients }) => [
  () => {
    const parts = node.outputs.map((output, i) => gradients[i] ?? zerosLike(b, output));
    return b.add('Concat', parts, { axis: int(intAttribute(node, 'axis', 0)) });
  },
];

/**
 * Padding is cropped and what was cropped is padded. Elements that padding repeats get a gradient from each place: where each place
 * came from is what the same padding makes of 0, 1, 2, ...
 */
const pad: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = '', pads = '', , axes = ''] }) => [
  () => {
    const mode = stringAttribute(node, 'mode', 'constant');
    if (mode !== 'constant') return repeatedBack(b, dy, x, mode, aroundOf(b, x, pads, axes) ?? []);
    return b.add('Pad', axes === '' ? [dy, b.add('Neg', [pads])] : [dy, b.add('Neg', [pads]), '', axes]);
  },
];

/** Before and after, by axis; undefined where they are computed. */
function aroundOf(
  b: Builder,
  x: string,
  pads: string,
  axes: string,
): (readonly [number, number])[] | undefined {
  const rank = b.dims(x).length;
  const widths = integers(b.content(pads));
  const along = axes === '' ? Array.from({ length: rank }, (_, axis) => axis) : integers(b.content(axes));
  if (!widths || !along) return undefined;
  const named = along.map((axis) => axisFromFront(axis, rank));
  return Array.from({ length: rank }, (_, axis) => {
    const at = named.indexOf(axis);
    return at < 0 ? [0, 0] : [widths[at] ?? 0, widths[at + named.length] ?? 0];
  });
}

function repeatedBack(
  b: Builder,
  dy: string,
  x: string,
  mode: string,
  around: readonly (readonly [number, number])[],
): string {
  return around.reduceRight((gradient, [before, after], axis) => {
    if (before === 0 && after === 0) return gradient;
    const length = lengthOf(b, x, axis);
    const sources = b.add('Pad', [positions(b, length), b.integers([before, after])], { mode: text(mode) });
    return scatter(b, gradient, sources, length, axis, around.length);
  }, dy);
}

/** 0, 1, 2, ... up to a length, which is a vector of one int64. */
function positions(b: Builder, length: string): string {
  const whole = (value: bigint) => b.constant({ dtype: 'int64', dims: [], data: BigInt64Array.of(value) });
  return b.add('Range', [whole(0n), b.add('Squeeze', [length]), whole(1n)]);
}

/** Copies are summed: [d0, d1] tiled by [r0, r1] is [r0, d0, r1, d1]. */
const tile: VjpRule['vjp'] = ({ build: b, dy, x: [x = '', repeats = ''] }) => [
  () => {
    const rank = b.dims(x).length;
    const pairs = Array.from({ length: rank }, (_, axis) => [
      b.add('Slice', [repeats, b.integers([axis]), b.integers([axis + 1])]),
      lengthOf(b, x, axis),
    ]).flat();
    const folded = b.add('Reshape', [dy, b.add('Concat', pairs, { axis: int(0) })]);
    const axes = Array.from({ length: rank }, (_, axis) => 2 * axis);
    return b.add('ReduceSum', [folded, b.integers(axes)], { keepdims: int(0) });
  },
];

const trilu: VjpRule['vjp'] = ({ node, build, dy, x: [, k = ''] }) => [
  () => build.add('Trilu', k === '' ? [dy] : [dy, k], node.attributes),
];

const cumSum: VjpRule['vjp'] = ({ node, build, dy, x: [, axis = ''] }) => [
  () =>
    build.add('CumSum', [dy, axis], {
      exclusive: int(intAttribute(node, 'exclusive', 0)),
      reverse: int(1 - intAttribute(node, 'reverse', 0)),
    }),
];

/**
 * Contiguous slices are padded back. Others go the way of Gather: the positions that they took are what the same slice takes from
 * 0, 1, 2, ..., and a product with their one-hot matrix puts the gradient there.
 */
const slice: VjpRule['vjp'] = ({
  node,
  build: b,
  dy,
  x: [x = '', starts = '', , axes = '', steps = ''],
  y,
}) => [
  () => {
    const rank = b.dims(x).length;
    const along = axes === '' ? integers(b.content(starts))?.map((_, i) => i) : integers(b.content(axes));
    const cut = along?.map((axis) => axisFromFront(axis, rank)) ?? [];
    const stepsOf = steps === '' ? cut.map(() => 1) : integers(b.content(steps));
    if (stepsOf?.every((step) => step === 1)) return b.add('Pad', [dy, sliceMargins(b, x, y, starts, cut)]);
    // One axis after the other, the last one first; the axes before it are still cut.
    return cut.reduceRight((gradient, axis, i) => {
      const pick = (v = '') => (v === '' ? '' : b.add('Slice', [v, b.integers([i]), b.integers([i + 1])]));
      const length = lengthOf(b, x, axis);
      const inputs = [positions(b, length), pick(starts), pick(node.inputs[2]), b.integers([0]), pick(steps)];
      const taken = b.add('Slice', steps === '' ? inputs.slice(0, 4) : inputs);
      return scatter(b, gradient, taken, length, axis, rank);
    }, dy);
  },
];

/** How much of x lies before and behind a contiguous slice of it, as Pad takes it; constants where lengths are known. */
function sliceMargins(b: Builder, x: string, y: string, starts: string, cut: readonly number[]): string {
  const rank = b.dims(x).length;
  const first = integers(b.content(starts));
  const zero = b.integers([0]);
  const before = Array<string>(rank).fill(zero);
  const after = Array<string>(rank).fill(zero);
  const known = Array<number>(2 * rank).fill(0);
  let open = false;
  cut.forEach((axis, i) => {
    const [whole, part, start] = [b.dims(x)[axis], b.dims(y)[axis], first?.[i]];
    if (whole !== undefined && part !== undefined && start !== undefined) {
      known[axis] = Math.min(whole, Math.max(0, start < 0 ? start + whole : start));
      known[rank + axis] = whole - (known[axis] ?? 0) - part;
      before[axis] = b.integers([known[axis] ?? 0]);
      after[axis] = b.integers([known[rank + axis] ?? 0]);
      return;
    }
    open = true;
    const length = lengthOf(b, x, axis);
    if (start !== 0) {
      const given = b.add('Slice', [starts, b.integers([i]), b.integers([i + 1])]);
      const counted = b.add('Where', [b.add('Less', [given, zero]), b.add('Add', [given, length]), given]);
      before[axis] = b.add('Min', [b.add('Max', [counted, zero]), length]);
    }
    const taken = b.add('Add', [before[axis] as string, lengthOf(b, y, axis)]);
    after[axis] = b.add('Sub', [length, taken]);
  });
  return open ? b.add('Concat', [...before, ...after], { axis: int(0) }) : b.integers(known);
}

/**
 * Adds dy's slices along an axis to the places that indices name.
 * @param dy [before..., k, after...]
 * @param indices [k], int64; negative ones count from the end
 * @param length of the axis, as a vector of one int64
 * @returns [before..., length, after...]
 */
export function scatter(
  b: Builder,
  dy: string,
  indices: string,
  length: string,
  axis: number,
  rank: number,
): string {
  const values = b.constant({ dtype: 'float32', dims: [2], data: Float32Array.of(0, 1) });
  const places = b.add('OneHot', [indices, length, values], { axis: int(0) }); // [length, k]
  // The axis goes to the place before the last, where a product reaches it.
  const rows = axis === rank - 1 ? rank - 1 : Math.max(0, rank - 2);
  if (axis === rank - 1) {
    if (rank === 1) return b.add('MatMul', [places, dy]);
    return b.add('MatMul', [dy, b.add('Transpose', [places], { perm: ints([1, 0]) })]);
  }
  if (axis === rows) return b.add('MatMul', [places, dy]);
  const perm = Array.from({ length: rank }, (_, i) => i);
  [perm[axis], perm[rows]] = [rows, axis];
  const turned = b.add('Transpose', [dy], { perm: ints(perm) });
  return b.add('Transpose', [b.add('MatMul', [places, turned])], { perm: ints(perm) });
}

function unsupportedPad(node: GraphNode, b: Builder): string | undefined {
  const [x = '', pads = '', , axes = ''] = node.inputs;
  const mode = stringAttribute(node, 'mode', 'constant');
  return mode === 'constant' || aroundOf(b, x, pads, axes)
    ? undefined
    : `mode ${mode} and widths that are computed`;
}

function unsupportedSlice(node: GraphNode, b: Builder): string | undefined {
  const [, starts = '', , axes = ''] = node.inputs;
  const known = integers(b.content(axes === '' ? starts : axes));
  return known ? undefined : 'axes that are computed';
}

export const layoutRules: VjpTable = {
  ...rulesOf({
    Reshape: regroup,
    Flatten: regroup,
    Squeeze: regroup,
    Unsqueeze: regroup,
    Transpose: transpose,
    Expand: expand,
    Concat: concat,
    Split: split,
    Tile: tile,
    Trilu: trilu,
    CumSum: cumSum,
  }),
  Pad: { vjp: pad, unsupported: unsupportedPad },
  Slice: { vjp: slice, unsupported: unsupportedSlice },
};
