/** Reductions: the gradient goes back to every element that was reduced. */
import { type GraphNode, intAttribute, intsAttribute } from '../../graph/graph.ts';
import { integers } from '../../graph/rewrite.ts';
import type { Builder } from '../builder.ts';
import { axisFromFront, lengthOf, mul, reduceBy, reduceSum, scale } from '../expressions.ts';
import type { VjpCall, VjpRule, VjpTable } from '../rule.ts';

interface Reduction {
  readonly build: Builder;
  readonly x: string;
  readonly axes: readonly number[];
  /** dy and y with the reduced axes kept, of length 1: they broadcast against x. */
  readonly dy: string;
  readonly y: string;
}

/** @param back the gradient, in x's shape or in one that broadcasts to it */
function reduction(back: (reduction: Reduction) => string, full: boolean): VjpRule {
  return {
    vjp: ({ node, build: b, dy, x: [x = ''], y }: VjpCall) => [
      () => {
        const axes = reducedAxes(node, b) ?? [];
        if (axes.length === 0) return back({ build: b, x, axes, dy, y });
        const keep = intAttribute(node, 'keepdims', 1) !== 0;
        const kept = (value: string) => (keep ? value : b.add('Unsqueeze', [value, b.integers(axes)]));
        const gradient = back({ build: b, x, axes, dy: kept(dy), y: kept(y) });
        return full ? gradient : b.add('Expand', [gradient, b.add('Shape', [x])]);
      },
    ],
    unsupported: (node, b) => (reducedAxes(node, b) ? undefined : 'axes that are computed'),
  };
}

/** Counted from the front, ascending; empty where nothing is reduced. */
function reducedAxes(node: GraphNode, b: Builder): number[] | undefined {
  const [x = '', input = ''] = node.inputs;
  const rank = b.dims(x).length;
  const axes = input === '' ? (intsAttribute(node, 'axes') ?? []) : integers(b.content(input));
  if (axes?.length === 0 && intAttribute(node, 'noop_with_empty_axes', 0) === 0)
    return Array.from({ length: rank }, (_, axis) => axis);
  return axes?.map((axis) => axisFromFront(axis, rank)).sort((p, q) => p - q);
}

const globalAveragePool: VjpRule['vjp'] = ({ build: b, dy, x: [x = ''], y }) => [
  () => {
    const axes = b.dims(x).flatMap((_, axis) => (axis > 1 ? [axis] : []));
    return b.add('Expand', [mean({ build: b, x, axes, dy, y }), b.add('Shape', [x])]);
  },
];

function mean({ build: b, x, axes, dy }: Reduction): string {
  const lengths = axes.map((axis) => b.dims(x)[axis]);
  if (!lengths.includes(undefined))
    return scale(b, dy, 1 / lengths.reduce<number>((count, length) => count * (length ?? 1), 1));
  const counts = axes.map((axis) => lengthOf(b, x, axis));
  const count = counts.reduce((product, length) => b.add('Mul', [product, length]));
  return b.add('Div', [dy, b.add('Cast', [count], { to: { kind: 'int', value: 1 } })]);
}

/** Shared evenly among equal extremes. */
function extreme({ build: b, x, axes, dy, y }: Reduction): string {
  const taken = b.add('Cast', [b.add('Equal', [x, y])], { to: { kind: 'int', value: 1 } });
  return mul(b, taken, b.add('Div', [dy, reduceSum(b, taken, axes, true)]));
}

/** y / x; where one element is 0, the product of the others is its gradient, and with more zeros there is none. */
function product({ build: b, x, axes, dy }: Reduction): string {
  const zero = b.scalar(0);
  const isZero = b.add('Equal', [x, zero]);
  const zeros = reduceSum(b, b.add('Cast', [isZero], { to: { kind: 'int', value: 1 } }), axes, true);
  const safe = b.add('Where', [isZero, b.scalar(1), x]);
  const others = mul(b, dy, reduceBy(b, 'ReduceProd', safe, axes, true));
  const atZero = b.add('Where', [b.add('Equal', [zeros, b.scalar(1)]), others, zero]);
  const elsewhere = b.add('Where', [b.add('Equal', [zeros, zero]), b.add('Div', [others, safe]), zero]);
  return b.add('Where', [isZero, atZero, elsewhere]);
}

/** x / |x|; of a vector of zeros 0, as PyTorch has it, where the quotient is no number. */
function norm({ build: b, x, dy, y }: Reduction): string {
  const isZero = b.add('Equal', [y, b.scalar(0)]);
  return mul(b, x, b.add('Div', [dy, b.add('Where', [isZero, b.scalar(1), y])]));
}

export const reduceRules: VjpTable = {
  GlobalAveragePool: { vjp: globalAveragePool },
  ReduceSum: reduction(({ dy }) => dy, false),
  ReduceMean: reduction(mean, false),
  ReduceMax: reduction(extreme, true),
  ReduceMin: reduction(extreme, true),
  ReduceSumSquare: reduction(({ build: b, x, dy }) => mul(b, x, scale(b, dy, 2)), true),
  ReduceL1: reduction(({ build: b, x, dy }) => mul(b, b.add('Sign', [x]), dy), true),
  ReduceL2: reduction(norm, true),
  ReduceProd: reduction(product, true),
  ReduceLogSum: reduction(({ build: b, x, dy, y }) => {
    const slope = b.add('Div', [dy, b.add('Exp', [y])]);
    return b.add('Expand', [slope, b.add('Shape', [x])]);
  }, true),
  ReduceLogSumExp: reduction(
    ({ build: b, x, dy, y }) => mul(b, b.add('Exp', [b.add('Sub', [x, y])]), dy),
    true,
  ),
};
