/** Softmax and normalisations. Letters: x̂ is the normalised input, s = 1 / sqrt(variance + epsilon). */
import { floatAttribute, type GraphNode, intAttribute, intsAttribute } from '../../graph/graph.ts';
import type { Builder } from '../builder.ts';
import { axisFromFront, mul, reduceBy, reduceSum, sumToShape } from '../expressions.ts';
import { rulesOf, type VjpRule, type VjpTable } from '../rule.ts';

/** dx = y (dy - sum(dy y)) */
const softmax: VjpRule['vjp'] = ({ node, build: b, dy, y: own }) => [
  () => {
    const y = withoutNaN(b, own) ?? own;
    const axis = softmaxAxis(b, node, y);
    const behind = axis === b.dims(y).length - 1 ? productBehind(b, dy, y) : undefined;
    const products = behind ? mul(b, behind.gradient, behind.output) : mul(b, dy, y);
    return mul(b, y, b.add('Sub', [dy, reduceSum(b, products, [axis], true)]));
  },
];

/** Exporters replace rows in which everything was hidden by zeros; their gradient is then zero too. */
function withoutNaN(b: Builder, y: string): string | undefined {
  return b.readers(y).find((node) => isNaNGuard(b, node, y))?.outputs[0];
}

/** Does this node give y, with zeros for what is no number? */
export function isNaNGuard(b: Builder, { opType, inputs }: GraphNode, y: string): boolean {
  const [condition = '', zero = '', value] = inputs;
  return opType === 'Where' && value === y && isAll(b, zero, 0) && b.present('IsNaN', [y]) === condition;
}

/**
 * The product o = y v, where it is all that reads y: with its gradient do, dy = do v^T, and a row's sum of dy y is that of do o, which
 * in attention is a row of a head's width instead of one of all keys (Dao et al., FlashAttention, 2022).
 */
function productBehind(
  b: Builder,
  dy: string,
  y: string,
): { readonly gradient: string; readonly output: string } | undefined {
  const product = b.maker(dy);
  if (product?.opType !== 'MatMul') return undefined;
  const [gradient = '', turned = ''] = product.inputs;
  const transpose = b.maker(turned);
  if (transpose?.opType !== 'Transpose' || !swapsLast(intsAttribute(transpose, 'perm'))) return undefined;
  const output = b.present('MatMul', [y, transpose.inputs[0] ?? '']);
  return output === undefined ? undefined : { gradient, output };
}

function swapsLast(perm: readonly number[] | undefined): boolean {
  const rank = perm?.length ?? 0;
  const swapped = (axis: number) => (axis < rank - 2 ? axis : 2 * rank - 3 - axis);
  return rank >= 2 && (perm?.every((from, axis) => from === swapped(axis)) ?? false);
}

/** dx = dy - exp(y) sum(dy) */
const logSoftmax: VjpRule['vjp'] = ({ node, build: b, dy, y }) => [
  () => {
    const total = reduceSum(b, dy, [softmaxAxis(b, node, y)], true);
    return b.add('Sub', [dy, mul(b, b.add('Exp', [y]), total)]);
  },
];

function softmaxAxis(b: Builder, node: Parameters<typeof intAttribute>[0], y: string): number {
  return axisFromFront(intAttribute(node, 'axis', -1), b.dims(y).length);
}

/**
 * y = x̂ g + c over the axes from `axis` on; with u = dy g: dx = s (u - mean(u) - x̂ mean(u x̂)).
 * Mean and s are outputs of the forward node, in onnxruntime.
 */
const layerNormalization: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = '', g = '', c = ''], y }) => {
  const rank = b.dims(x).length;
  const axis = axisFromFront(intAttribute(node, 'axis', -1), rank);
  const axes = Array.from({ length: rank - axis }, (_, i) => axis + i);
  const plain = isAll(b, g, 1);
  const normalised = () =>
    plain && (c === '' || isAll(b, c, 0))
      ? y
      : mul(b, b.add('Sub', [x, b.extraOutput(node, 1)]), b.extraOutput(node, 2));
  return [
    () => {
      const u = plain ? dy : mul(b, dy, g);
      const unit = normalised();
      const along = reduceBy(b, 'ReduceMean', mul(b, u, unit), axes, true);
      const centred =
        plain && b.facts(y).centredGradient ? u : b.add('Sub', [u, reduceBy(b, 'ReduceMean', u, axes, true)]);
      return mul(b, b.add('Sub', [centred, mul(b, unit, along)]), b.extraOutput(node, 2));
    },
    () => sumToShape(b, mul(b, dy, normalised()), g, y),
    () => sumToShape(b, dy, c, y),
  ];
};

/** y = x r g with r = 1 / sqrt(mean(x^2) + epsilon) and u = dy g: dx = r (u - x r mean(u x r)). */
const rmsNormalization: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = '', g = ''], y }) => {
  const rank = b.dims(x).length;
  const axis = axisFromFront(intAttribute(node, 'axis', -1), rank);
  const axes = Array.from({ length: rank - axis }, (_, i) => axis + i);
  const factor = () => {
    const square = reduceBy(b, 'ReduceMean', mul(b, x, x), axes, true);
    const shifted = b.add('Add', [square, b.scalar(floatAttribute(node, 'epsilon', 1e-5))]);
    return b.add('Reciprocal', [b.add('Sqrt', [shifted])]);
  };
  return [
    () => {
      const [r, u] = [factor(), mul(b, dy, g)];
      const unit = mul(b, x, r);
      const along = reduceBy(b, 'ReduceMean', mul(b, u, unit), axes, true);
      return mul(b, b.add('Sub', [u, mul(b, unit, along)]), r);
    },
    () => sumToShape(b, mul(b, dy, mul(b, x, factor())), g, y),
  ];
};

/** With the statistics of training, by channel: x̂ = (x - mean) r with r = 1 / sqrt(variance + epsilon), y = x̂ g + c. */
const batchNormalization: VjpRule['vjp'] = ({
  node,
  build: b,
  dy,
  x: [x = '', g = '', , mean = '', variance = ''],
}) => {
  const factor = () => {
    const shifted = b.add('Add', [variance, b.scalar(floatAttribute(node, 'epsilon', 1e-5))]);
    return b.add('Reciprocal', [b.add('Sqrt', [shifted])]);
  };
  const rank = b.dims(x).length;
  const shape = Array.from({ length: rank - 1 }, (_, i) => (i === 0 ? -1 : 1));
  const byChannel = (value: string) => b.add('Reshape', [value, b.integers(shape)]);
  const others = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => axis !== 1);
  const perChannel = (value: string) => reduceSum(b, value, others, false);
  return [
    () => mul(b, dy, byChannel(mul(b, g, factor()))),
    () => mul(b, perChannel(mul(b, dy, b.add('Sub', [x, byChannel(mean)]))), factor()),
    () => perChannel(dy),
  ];
};

/** Is this an initializer of nothing but this number? */
function isAll(b: Builder, value: string, number: number): boolean {
  const content = b.content(value);
  return content?.data.every((entry) => Number(entry) === number) ?? false;
}

export const normalizeRules: VjpTable = rulesOf({
  Softmax: softmax,
  LogSoftmax: logSoftmax,
  LayerNormalization: layerNormalization,
  SimplifiedLayerNormalization: rmsNormalization,
  RMSNormalization: rmsNormalization,
  BatchNormalization: batchNormalization,
});
