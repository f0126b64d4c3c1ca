/** Convolutions and transposed convolutions, over any number of spatial axes. */
import { elementCount, type GraphNode, intsAttribute, stringAttribute } from '../../graph/graph.ts';
import { geometryOf as movesOf } from '../../graph/ops/convolve.ts';
import { transposedGeometry } from '../../graph/ops/convolve-transpose.ts';
import { integers } from '../../graph/rewrite.ts';
import type { Builder } from '../builder.ts';
import { int, ints, lengthOf, reduceSum, reshapeLike } from '../expressions.ts';
import type { VjpRule, VjpTable } from '../rule.ts';

/** How a filter moves: strides and dilations by spatial axis, pads before all axes and then behind them. */
export interface Geometry {
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly pads: readonly number[];
  readonly group: number;
}

/** Lengths that are free stand as 0: only an `auto_pad` of SAME_* asks for them, and that is refused then. */
function geometryOf(b: Builder, node: GraphNode, x: string, w: string): Geometry {
  const [spatial, kernel] = [x, w].map((value) =>
    b
      .dims(value)
      .slice(2)
      .map((length) => length ?? 0),
  ) as [number[], number[]];
  const moves =
    node.opType === 'Conv' ? movesOf(node, spatial, kernel) : transposedGeometry(node, spatial, kernel);
  const pads = [0, 1].flatMap((end) => moves.pads.map((around) => around[end] as number));
  return { strides: moves.strides, dilations: moves.dilations, pads, group: moves.groups };
}

/** x [N, C, ...], filters [O, C / groups, ...]; the bias is summed over all but the channels. */
const conv: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = '', w = ''], y }) => {
  const geometry = geometryOf(b, node, x, w);
  return [
    () => spreadTo(b, dy, w, x, geometry),
    () =>
      cutsPatches(b, x, w, geometry)
        ? patchFilter(b, dy, x, w)
        : convFilter(b, { dy, y, x, w, values: x }, geometry),
    () => byChannel(b, dy, x),
  ];
};

/** x [N, C, ...], filters [C, O / groups, ...]: dx is the convolution of dy, and dw that of a convolution from dy to x. */
const convTranspose: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = '', w = ''], y }) => {
  const geometry = geometryOf(b, node, x, w);
  return [
    () => fitted(b, b.add('Conv', [dy, w], attributesOf(geometry)), x),
    () => convFilter(b, { dy: x, y: x, x: y, w, values: dy }, geometry),
    () => byChannel(b, dy, x),
  ];
};

/** Each place of each block gets what stands there in the image: a convolution with one tap a place. */
const col2Im: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = '', , block = ''] }) => [
  () => {
    const shape = integers(b.content(block)) ?? [];
    const places = elementCount(shape);
    const eye = Float32Array.from({ length: places * places }, (_, i) => (i % (places + 1) === 0 ? 1 : 0));
    const filter = b.constant({ dtype: 'float32', dims: [places, 1, ...shape], data: eye });
    const lengths = b.add('Shape', [dy], { start: int(2), end: int(shape.length + 2) });
    const single = b.add('Reshape', [dy, b.add('Concat', [b.integers([-1, 1]), lengths], { axis: int(0) })]);
    const moves = movesOf(node, shape, shape);
    const pads = [0, 1].flatMap((end) => moves.pads.map((around) => around[end] as number));
    const { strides, dilations } = moves;
    return reshapeLike(
      b,
      b.add('Conv', [single, filter], attributesOf({ strides, dilations, pads, group: 1 })),
      x,
    );
  },
];

function byChannel(b: Builder, dy: string, x: string): string {
  return reduceSum(
    b,
    dy,
    [
      0,
      ...b
        .dims(x)
        .slice(2)
        .map((_, i) => i + 2),
    ],
    false,
  );
}

function attributesOf({ strides, dilations, pads, group }: Geometry) {
  return { strides: ints(strides), dilations: ints(dilations), pads: ints(pads), group: int(group) };
}

/**
 * The transposed convolution of dy, in the shape of x: elements that no window saw get nothing.
 * @param dy [N, O, ...]
 * @param w [O, C / groups, ...]
 */
export function spreadTo(b: Builder, dy: string, w: string, x: string, geometry: Geometry): string {
  // What the windows reach behind x is taken off by its length, which also says how much they left over.
  const pads = geometry.pads.map((pad, i) => (2 * i < geometry.pads.length ? pad : 0));
  return fitted(b, b.add('ConvTranspose', [dy, w], attributesOf({ ...geometry, pads })), x);
}

/** Zeros behind the spatial axes, or a part of them, so that they are as long as those of x. */
function fitted(b: Builder, value: string, x: string): string {
  const rank = b.dims(x).length;
  const spatial = { start: int(2), end: int(rank) };
  const missing = b.add('Sub', [b.add('Shape', [x], spatial), b.add('Shape', [value], spatial)]);
  const before = b.integers(Array<number>(rank + 2).fill(0));
  return b.add('Pad', [value, b.add('Concat', [before, missing], { axis: int(0) })]);
}

/** onnxruntime's kernels on GPUs take one axis more than this. */
const MOST_AXES = 2;

/** A convolution from x to y by filters w. */
interface Filtered {
  /** What the filters' gradient is taken with: in the shape of the forward value y. */
  readonly dy: string;
  readonly y: string;
  readonly x: string;
  readonly w: string;
  /** In the shape of the forward value x. */
  readonly values: string;
}

/**
 * dW[o, c, i] = sum over n, p of dy[n, o, p] x[n, c, stride p + dilation i - pad]: a convolution over the batch in which strides and
 * dilations change places, each group by itself. The channels of x are one axis more that nothing slides along, so that all of them
 * are columns of one product; for groups, and where there would be too many axes, they are images of their own. Where the windows
 * leave something over at the end, it would give taps that the filter does not have: so much less is padded there, and what is left
 * is cut off.
 */
function convFilter(
  b: Builder,
  { dy, y, x, w, values }: Filtered,
  { strides, dilations, pads, group }: Geometry,
): string {
  const kernel = b.dims(w).slice(2) as number[];
  const axes = kernel.map((_, i) => i + 2);
  const taps = kernel.map((length, i) => {
    const [from, to] = [b.dims(x)[i + 2], b.dims(y)[i + 2]];
    if (from === undefined || to === undefined) return undefined;
    const padded = from + (pads[i] ?? 0) + (pads[i + kernel.length] ?? 0);
    const more = Math.floor((padded - (strides[i] ?? 1) * (to - 1) - 1) / (dilations[i] ?? 1)) + 1 - length;
    return Math.min(more * (dilations[i] ?? 1), pads[i + kernel.length] ?? 0);
  });
  const less = pads.map((pad, i) => pad - (i < kernel.length ? 0 : (taps[i - kernel.length] ?? 0)));
  const cut = (full: string) =>
    b.add('Slice', [full, b.integers(axes.map(() => 0)), b.integers(kernel), b.integers(axes)]);
  if (group === 1 && axes.length <= MOST_AXES) {
    const image = b.add('Unsqueeze', [values, b.integers([0])]); // [1, N, C, ...]
    const windows = b.add('Unsqueeze', [batchLast(b, dy, axes), b.integers([2])]); // [O, N, 1, ...]
    const full = b.add('Conv', [image, windows], {
      strides: ints([1, ...dilations]),
      dilations: ints([1, ...strides]),
      pads: ints([0, ...less.slice(0, kernel.length), 0, ...less.slice(kernel.length)]),
      group: int(1),
    }); // [1, O, C, at least the kernel]
    return cut(b.add('Squeeze', [full, b.integers([0])]));
  }
  const full = b.add('Conv', [byGroup(b, x, w, group, values), batchLast(b, dy, axes)], {
    strides: ints(dilations),
    dilations: ints(strides),
    pads: ints(less),
    group: int(group),
  }); // [C / groups, O, at least the kernel]
  return batchLast(b, cut(full), axes);
}

/** The first two axes exchanged. */
function batchLast(b: Builder, value: string, others: readonly number[]): string {
  return b.add('Transpose', [value], { perm: ints([1, 0, ...others]) });
}

/** [N, C, ...] as [C / groups, groups * N, ...]. */
function byGroup(b: Builder, x: string, w: string, group: number, values: string): string {
  const axes = b
    .dims(x)
    .slice(2)
    .map((_, i) => i + 2);
  if (group === 1) return batchLast(b, values, axes);
  const lengths = axes.map((axis) => lengthOf(b, x, axis));
  const own = b.integers([b.dims(w)[1] as number]);
  const shape = (...parts: string[]) => b.add('Concat', [...parts, ...lengths], { axis: int(0) });
  const apart = b.add('Reshape', [values, shape(b.integers([-1]), b.integers([group]), own)]);
  const turned = b.add('Transpose', [apart], { perm: ints([2, 1, 0, ...axes.map((axis) => axis + 1)]) });
  return b.add('Reshape', [turned, shape(own, b.integers([-1]))]);
}

/** Does the kernel step from patch to patch, with nothing left over? */
function cutsPatches(
  b: Builder,
  x: string,
  w: string,
  { strides, dilations, pads, group }: Geometry,
): boolean {
  return (
    group === 1 &&
    pads.every((pad) => pad === 0) &&
    dilations.every((dilation) => dilation === 1) &&
    strides.every((stride, i) => {
      const length = b.dims(x)[i + 2];
      return stride === b.dims(w)[i + 2] && length !== undefined && length % stride === 0;
    })
  );
}

/** One product: [O, N * patches] [N * patches, C * kernel]. */
function patchFilter(b: Builder, dy: string, x: string, w: string): string {
  const [outputs = 0, channels = 0, ...kernel] = b.dims(w) as number[];
  const counts = kernel.map((size, i) => (b.dims(x)[i + 2] as number) / size);
  const split = b.integers([-1, channels, ...kernel.flatMap((size, i) => [counts[i] as number, size])]);
  const perm = [0, ...kernel.map((_, i) => 2 + 2 * i), 1, ...kernel.map((_, i) => 3 + 2 * i)];
  const apart = b.add('Transpose', [b.add('Reshape', [x, split])], { perm: ints(perm) });
  const width = kernel.reduce((product, size) => product * size, channels);
  const patches = b.add('Reshape', [apart, b.integers([-1, width])]);
  const rows = b.add('Reshape', [
    batchLast(
      b,
      dy,
      kernel.map((_, i) => i + 2),
    ),
    b.integers([outputs, -1]),
  ]);
  return reshapeLike(b, b.add('MatMul', [rows, patches]), w);
}

function unsupported(node: GraphNode, b: Builder, wanted: readonly number[]): string | undefined {
  const [x = '', w = ''] = node.inputs;
  if (!wanted.includes(0) && !wanted.includes(1)) return undefined;
  const padding = stringAttribute(node, 'auto_pad', 'NOTSET');
  const asked = padding.startsWith('SAME') || intsAttribute(node, 'output_shape') !== undefined;
  if (asked && b.dims(x).slice(2).includes(undefined)) return 'padding by output size over free lengths';
  if (wanted.includes(1) && b.dims(w).includes(undefined)) return 'a filter of free lengths';
  if (node.opType === 'Conv') return undefined;
  const { pads } = geometryOf(b, node, x, w);
  return pads.some((pad) => pad < 0) ? 'an output larger than the filter reaches' : undefined;
}

export const convolveRules: VjpTable = {
  Conv: { vjp: conv, unsupported },
  ConvTranspose: { vjp: convTranspose, unsupported },
  Col2Im: {
    vjp: col2Im,
    unsupported: (node, b) => (b.content(node.inputs[2] ?? '') ? undefined : 'blocks of computed lengths'),
  },
};
