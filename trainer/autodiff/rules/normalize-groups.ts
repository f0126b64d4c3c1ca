/**
 * Normalisations over groups of channels, single channels, given axes, or by a norm. Letters: x̂ is the normalised input, r is one over
 * its deviation, u the gradient behind x̂: dx = r (u - mean(u) - x̂ mean(u x̂)).
 */
import { floatAttribute, type GraphNode, intAttribute, intsAttribute } from '../../graph/graph.ts';
import type { Builder } from '../builder.ts';
import { axisFromFront, mul, reduceBy, reduceSum, reshapeLike } from '../expressions.ts';
import { rulesOf, type VjpCall, type VjpRule, type VjpTable } from '../rule.ts';

/** Everything laid out as [N, groups, elements of a group], a scale being a number a channel or, before opset 21, a group. */
const grouped =
  (groupsOf: (node: GraphNode) => number | undefined): VjpRule['vjp'] =>
  ({ node, build: b, dy, x: [x = '', scale = ''] }: VjpCall) => {
    const rank = b.dims(x).length;
    // 0 copies the number of channels: each is a group of its own.
    const groups = groupsOf(node) ?? 0;
    const rows = (value: string) => b.add('Reshape', [value, b.integers([0, groups, -1])]);
    const byGroup = groups !== 0 && b.dims(scale)[0] === groups && b.dims(x)[1] !== groups;
    const channels = b.add('Reshape', [
      scale,
      b.integers([-1, ...Array<number>(byGroup ? 1 : rank - 2).fill(1)]),
    ]);
    const unit = () => {
      const deviation = floatAttribute(node, 'epsilon', 1e-5);
      const centred = b.add('Sub', [rows(x), reduceBy(b, 'ReduceMean', rows(x), [2], true)]);
      const variance = reduceBy(b, 'ReduceMean', mul(b, centred, centred), [2], true);
      const r = b.add('Reciprocal', [b.add('Sqrt', [b.add('Add', [variance, b.scalar(deviation)])])]);
      return { normal: mul(b, centred, r), r };
    };
    /** Of one number an element of x: sums by channel or by group. */
    const summed = (value: string, isRows: boolean) => {
      if (byGroup) return reduceSum(b, isRows ? value : rows(value), [0, 2], false);
      const whole = isRows ? reshapeLike(b, value, x) : value;
      return reduceSum(b, whole, [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2)], false);
    };
    return [
      () => {
        const { normal, r } = unit();
        const u = byGroup ? mul(b, rows(dy), channels) : rows(mul(b, dy, channels));
        return reshapeLike(b, normalisedBack(b, u, normal, r, [2]), x);
      },
      () => summed(mul(b, rows(dy), unit().normal), true),
      () => summed(dy, false),
    ];
  };

function normalisedBack(b: Builder, u: string, unit: string, r: string, axes: readonly number[]): string {
  const along = reduceBy(b, 'ReduceMean', mul(b, u, unit), axes, true);
  const centred = b.add('Sub', [u, reduceBy(b, 'ReduceMean', u, axes, true)]);
  return mul(b, b.add('Sub', [centred, mul(b, unit, along)]), r);
}

/** ONNX's function adds this to the deviation. */
const DEVIATION_FLOOR = 1e-9;

const meanVariance: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = ''], y }) => [
  () => {
    const rank = b.dims(x).length;
    const axes = (intsAttribute(node, 'axes') ?? [0, 2, 3]).map((axis) => axisFromFront(axis, rank));
    const centred = b.add('Sub', [x, reduceBy(b, 'ReduceMean', x, axes, true)]);
    const deviation = b.add('Sqrt', [reduceBy(b, 'ReduceMean', mul(b, centred, centred), axes, true)]);
    const r = b.add('Reciprocal', [b.add('Add', [deviation, b.scalar(DEVIATION_FLOOR)])]);
    return normalisedBack(b, dy, y, r, axes);
  },
];

/** y = x / n: dx = (dy - slope of n * sum(dy y)) / n, where the slope is y for the second norm and the sign for the first. */
const lpNormalization: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = ''], y }) => [
  () => {
    const axis = axisFromFront(intAttribute(node, 'axis', -1), b.dims(x).length);
    const first = intAttribute(node, 'p', 2) === 1;
    const found = first
      ? reduceSum(b, b.add('Abs', [x]), [axis], true)
      : b.add('Sqrt', [reduceSum(b, mul(b, x, x), [axis], true)]);
    // Zeros stay zeros.
    const norm = b.add('Where', [b.add('Equal', [found, b.scalar(0)]), b.scalar(1), found]);
    const along = reduceSum(b, mul(b, dy, y), [axis], true);
    const slope = first ? b.add('Sign', [x]) : y;
    return b.add('Div', [b.add('Sub', [dy, mul(b, slope, along)]), norm]);
  },
];

export const groupNormalizeRules: VjpTable = rulesOf({
  GroupNormalization: grouped((node) => intAttribute(node, 'num_groups', 1)),
  InstanceNormalization: grouped(() => undefined),
  MeanVarianceNormalization: meanVariance,
  LpNormalization: lpNormalization,
});
