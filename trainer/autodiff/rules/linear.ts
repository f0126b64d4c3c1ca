/** Matrix products and convolutions. */
import {
  floatAttribute,
  type GraphNode,
  intAttribute,
  intsAttribute,
  stringAttribute,
} from '../../graph/graph.ts';
import type { Attributes, Builder } from '../builder.ts';
import {
  float,
  int,
  ints,
  lengthOf,
  reduceSum,
  reshapeLike,
  scale,
  sumToShape,
  transposed,
} from '../expressions.ts';
import type { VjpRule, VjpTable } from '../rule.ts';

/** Y = A B: dA = dY B^T, dB = A^T dY, summed over batches that broadcast. */
const matMul: VjpRule['vjp'] = ({ build: b, dy, x: [left = '', right = ''] }) => {
  const [rankLeft, rankRight] = [b.dims(left).length, b.dims(right).length];
  return [
    () => toBatches(b, b.add('MatMul', [dy, transposed(b, right, rankRight)]), left, right),
    () => {
      if (rankRight > 2)
        return toBatches(b, b.add('MatMul', [transposed(b, left, rankLeft), dy]), right, left);
      // One matrix for all rows: the batches are rows too.
      const rows = flattened(b, left, b.dims(left).at(-1));
      return b.add('MatMul', [transposed(b, rows, 2), flattened(b, dy, b.dims(right)[1])]);
    },
  ];
};

/** Sums the batch axes along which `value` was repeated to meet `other`. */
function toBatches(b: Builder, gradient: string, value: string, other: string): string {
  const [own, met] = [b.dims(value), b.dims(other)];
  const rank = Math.max(own.length, met.length);
  const axes = Array.from({ length: rank - 2 }, (_, axis) => axis).filter((axis) => {
    const mine = own[axis - (rank - own.length)];
    const theirs = met[axis - (rank - met.length)];
    const repeated = axis >= rank - met.length && theirs !== 1;
    return axis < rank - own.length || (mine === 1 && repeated);
  });
  if (axes.length === 0) return gradient;
  const missing = rank - own.length;
  const summed = b.add('ReduceSum', [gradient, b.integers(axes)], {
    keepdims: int(axes.length === missing ? 0 : 1),
  });
  return axes.length === missing || missing === 0
    ? summed
    : b.add('Squeeze', [summed, b.integers(Array.from({ length: missing }, (_, axis) => axis))]);
}

/** [..., C] as [rows, C] */
function flattened(b: Builder, x: string, width: number | undefined): string {
  if (width !== undefined) return b.add('Reshape', [x, b.integers([-1, width])]);
  return b.add('Flatten', [x], { axis: int(-1) });
}

/** Y = alpha A' B' + beta C, with A' and B' perhaps transposed. */
const gemm: VjpRule['vjp'] = ({ node, build: b, dy, x: [a = '', w = '', c = ''], y }) => {
  const [transA, transB] = [intAttribute(node, 'transA', 0), intAttribute(node, 'transB', 0)];
  const product = (left: string, right: string, turnLeft: number, turnRight: number) =>
    b.add('Gemm', [left, right], {
      alpha: float(floatAttribute(node, 'alpha', 1)),
      transA: int(turnLeft),
      transB: int(turnRight),
    });
  return [
    () => (transA ? product(w, dy, transB, 1) : product(dy, w, 0, 1 - transB)),
    () => (transB ? product(dy, a, 1, transA) : product(a, dy, 1 - transA, 0)),
    () => scale(b, sumToShape(b, dy, c, y), floatAttribute(node, 'beta', 1)),
  ];
};

interface Geometry {
  readonly spatial: number;
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly pads: readonly number[];
  readonly group: number;
}

function geometryOf(node: GraphNode, spatial: number): Geometry {
  return {
    spatial,
    strides: intsAttribute(node, 'strides') ?? Array<number>(spatial).fill(1),
    dilations: intsAttribute(node, 'dilations') ?? Array<number>(spatial).fill(1),
    pads: intsAttribute(node, 'pads') ?? Array<number>(2 * spatial).fill(0),
    group: intAttribute(node, 'group', 1),
  };
}

/** x [N, C, ...], filters [O, C / groups, ...]; the bias is summed over all but the channels. */
const conv: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = '', w = ''], y }) => {
  const geometry = geometryOf(node, b.dims(x).length - 2);
  return [
    () => convInput(b, dy, x, w, y, geometry),
    () => (cutsPatches(b, x, w, geometry) ? patchFilter(b, dy, x, w) : convFilter(b, dy, x, w, geometry)),
    () => reduceSum(b, dy, [0, ...Array.from({ length: geometry.spatial }, (_, i) => i + 2)], false),
  ];
};

/** The transposed convolution of dy. */
function convInput(b: Builder, dy: string, x: string, w: string, y: string, geometry: Geometry): string {
  const { strides, dilations, pads, spatial, group } = geometry;
  const output = strides.map((stride, i) => {
    const [inside, outside] = [b.dims(x)[i + 2], b.dims(y)[i + 2]];
    if (inside === undefined || outside === undefined) return 0;
    const reach = ((b.dims(w)[i + 2] as number) - 1) * (dilations[i] as number) + 1;
    return inside + (pads[i] as number) + (pads[i + spatial] as number) - (outside - 1) * stride - reach;
  });
  const attributes: Attributes = {
    strides: ints(strides),
    dilations: ints(dilations),
    pads: ints(pads),
    group: int(group),
    output_padding: ints(output),
  };
  return b.add('ConvTranspose', [dy, w], attributes);
}

/**
 * dW[o, c, i] = sum over n, p of dy[n, o, p] x[n, c, stride p + dilation i - pad]: a convolution over the batch in which strides and
 * dilations change places, each group by itself.
 */
function convFilter(b: Builder, dy: string, x: string, w: string, geometry: Geometry): string {
  const { spatial, strides, dilations, pads, group } = geometry;
  const kernel = b.dims(w).slice(2) as number[];
  const axes = kernel.map((_, i) => i + 2);
  const full = b.add('Conv', [byGroup(b, x, w, spatial, group), batchLast(b, dy, axes)], {
    strides: ints(dilations),
    dilations: ints(strides),
    pads: ints(pads),
    group: int(group),
  }); // [C / groups, O, at least the kernel]
  const fitted = b.add('Slice', [full, b.integers(axes.map(() => 0)), b.integers(kernel), b.integers(axes)]);
  return batchLast(b, fitted, axes);
}

/** The first two axes exchanged. */
function batchLast(b: Builder, value: string, others: readonly number[]): string {
  return b.add('Transpose', [value], { perm: ints([1, 0, ...others]) });
}

/** [N, C, ...] as [C / groups, groups * N, ...]. */
function byGroup(b: Builder, x: string, w: string, spatial: number, group: number): string {
  const axes = Array.from({ length: spatial }, (_, i) => i + 2);
  if (group === 1) return batchLast(b, x, axes);
  const lengths = axes.map((axis) => lengthOf(b, x, axis));
  const own = b.integers([b.dims(w)[1] as number]);
  const shape = (...parts: string[]) => b.add('Concat', [...parts, ...lengths], { axis: int(0) });
  const apart = b.add('Reshape', [x, shape(b.integers([-1]), b.integers([group]), own)]);
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

function unsupportedConv(node: GraphNode, b: Builder, wanted: readonly number[]): string | undefined {
  const padding = stringAttribute(node, 'auto_pad', 'NOTSET');
  if (padding !== 'NOTSET' && padding !== 'VALID') return `auto_pad ${padding}`;
  if (wanted.includes(1) && b.dims(node.inputs[1] ?? '').includes(undefined))
    return 'a filter of free lengths';
  if (!wanted.includes(0)) return undefined;
  const strided = (intsAttribute(node, 'strides') ?? []).some((stride) => stride > 1);
  const open = b
    .dims(node.inputs[0] ?? '')
    .slice(2)
    .includes(undefined);
  return strided && open ? 'strides over free lengths' : undefined;
}

function unsupportedMatMul({ inputs }: GraphNode, b: Builder): string | undefined {
  return inputs.some((input) => b.dims(input).length < 2) ? 'a vector as factor' : undefined;
}

export const linearRules: VjpTable = {
  MatMul: { vjp: matMul, unsupported: unsupportedMatMul },
  Gemm: { vjp: gemm },
  Conv: { vjp: conv, unsupported: unsupportedConv },
};
