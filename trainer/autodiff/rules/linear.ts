/** Matrix products and convolutions. */
import {
  floatAttribute,
  type GraphNode,
  intAttribute,
  intsAttribute,
  stringAttribute,
} from '../../graph/graph.ts';
import type { Attributes, Builder } from '../builder.ts';
import { float, int, ints, scale, sumToShape, transposed } from '../expressions.ts';
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

/** The gradient of a convolution's input is the transposed convolution of the output's; filters take none. */
const conv: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = '', w = ''], y }) => [
  () => {
    const spatial = b.dims(x).length - 2;
    const strides = intsAttribute(node, 'strides') ?? Array<number>(spatial).fill(1);
    const dilations = intsAttribute(node, 'dilations') ?? Array<number>(spatial).fill(1);
    const pads = intsAttribute(node, 'pads') ?? Array<number>(2 * spatial).fill(0);
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
      group: int(intAttribute(node, 'group', 1)),
      output_padding: ints(output),
    };
    return b.add('ConvTranspose', [dy, w], attributes);
  },
];

function unsupportedConv(node: GraphNode, b: Builder): string | undefined {
  const padding = stringAttribute(node, 'auto_pad', 'NOTSET');
  if (padding !== 'NOTSET' && padding !== 'VALID') return `auto_pad ${padding}`;
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
