/** Activations of one input; formulas by differentiation of those in the ONNX specification. */
import { floatAttribute, type GraphNode, stringAttribute } from '../../graph/graph.ts';
import type { Builder } from '../builder.ts';
import { float, mul, scale, sumToShape } from '../expressions.ts';
import { rulesOf, type VjpRule, type VjpTable } from '../rule.ts';

const TWO_OVER_ROOT_PI = 2 / Math.sqrt(Math.PI);

/** 1 - v */
const oneMinus = (b: Builder, v: string) => b.add('Sub', [b.scalar(1), v]);
const positive = (b: Builder, x: string) => b.add('Greater', [x, b.scalar(0)]);

const tanh: VjpRule['vjp'] = ({ build, dy, y }) => [() => mul(build, dy, oneMinus(build, mul(build, y, y)))];

const sigmoid: VjpRule['vjp'] = ({ build, dy, y }) => [
  () => mul(build, dy, mul(build, y, oneMinus(build, y))),
];

/** The output is 0 or positive: times a lot and clipped at 1 it is the derivative, in one pass. */
const relu: VjpRule['vjp'] = ({ build, dy, y }) => [
  () => mul(build, dy, build.add('HardSigmoid', [y], { alpha: float(3e38), beta: float(0) })),
];

/** d erf(x) = 2 / sqrt(pi) exp(-x^2) dx */
const erf: VjpRule['vjp'] = ({ build, dy, x: [x = ''] }) => [
  () => {
    const bell = build.add('Exp', [build.add('Neg', [mul(build, x, x)])]);
    return mul(build, dy, scale(build, bell, TWO_OVER_ROOT_PI));
  },
];

const gelu: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = ''] }) => [
  () => {
    const tanhForm = stringAttribute(node, 'approximate', 'none') === 'tanh';
    return mul(b, dy, tanhForm ? geluTanhSlope(b, x) : geluSlope(b, node, x));
  },
];

/**
 * y = x Phi(x): Phi(x) + x phi(x), with Phi(x) = (1 + erf t) / 2 and x phi(x) = t exp(-t^2) / sqrt(pi) at t = x / sqrt 2: x itself is not kept.
 * The forward node takes its Phi from here too: the error function is the dearest part.
 */
function geluSlope(b: Builder, node: GraphNode, x: string): string {
  const t = scale(b, x, Math.SQRT1_2);
  // The line that HardSigmoid clips, which it never does here, in one pass.
  const phi = b.add('HardSigmoid', [b.add('Erf', [t])], { alpha: float(0.5), beta: float(0.5) });
  b.computeAs(node, 'Mul', [x, phi]);
  const exponent = b.add('Sub', [b.scalar(-0.5 * Math.log(Math.PI)), mul(b, t, t)]);
  return b.add('Add', [phi, mul(b, t, b.add('Exp', [exponent]))]);
}

/** u = sqrt(2/pi) (x + c x^3): (1 + tanh u) / 2 + x / 2 (1 - tanh^2 u) u' */
function geluTanhSlope(b: Builder, x: string): string {
  const [a, c] = [Math.sqrt(2 / Math.PI), 0.044715];
  const square = mul(b, x, x);
  const inner = b.add('Add', [scale(b, square, c), b.scalar(1)]);
  const tanhU = b.add('Tanh', [mul(b, scale(b, x, a), inner)]);
  const half = scale(b, b.add('Add', [tanhU, b.scalar(1)]), 0.5);
  const slope = b.add('Add', [scale(b, square, 3 * a * c), b.scalar(a)]);
  return b.add('Add', [half, mul(b, mul(b, scale(b, x, 0.5), oneMinus(b, mul(b, tanhU, tanhU))), slope)]);
}

/** x tanh(softplus x): t + x (1 - t^2) s(x) */
const mish: VjpRule['vjp'] = ({ build: b, dy, x: [x = ''] }) => [
  () => {
    const t = b.add('Tanh', [b.add('Softplus', [x])]);
    const slope = mul(b, oneMinus(b, mul(b, t, t)), b.add('Sigmoid', [x]));
    return mul(b, dy, b.add('Add', [t, mul(b, x, slope)]));
  },
];

/** x s(ax) with s the logistic function: s + a y (1 - s) */
const quickGelu: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = ''], y }) => [
  () => {
    const alpha = floatAttribute(node, 'alpha', 1.702);
    const s = b.add('Sigmoid', [scale(b, x, alpha)]);
    return mul(b, dy, b.add('Add', [s, mul(b, scale(b, y, alpha), oneMinus(b, s))]));
  },
];

const leakyRelu: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = ''] }) => [
  () => b.add('Where', [positive(b, x), dy, scale(b, dy, floatAttribute(node, 'alpha', 0.01))]),
];

/** a (exp x - 1) where negative: its slope is y + a */
const elu: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = ''], y }) => [
  () => {
    const slope = b.add('Add', [y, b.scalar(floatAttribute(node, 'alpha', 1))]);
    return b.add('Where', [positive(b, x), dy, mul(b, dy, slope)]);
  },
];

const softplus: VjpRule['vjp'] = ({ build, dy, x: [x = ''] }) => [
  () => mul(build, dy, build.add('Sigmoid', [x])),
];

/** max(0, min(1, a x + c)): a where it is between */
function hardSigmoidSlope(b: Builder, s: string, alpha: number): string {
  const inside = b.add(
    'Cast',
    [b.add('And', [b.add('Greater', [s, b.scalar(0)]), b.add('Less', [s, b.scalar(1)])])],
    { to: { kind: 'int', value: 1 } },
  );
  return scale(b, inside, alpha);
}

const hardSigmoid: VjpRule['vjp'] = ({ node, build: b, dy, y }) => [
  () => mul(b, dy, hardSigmoidSlope(b, y, floatAttribute(node, 'alpha', 0.2))),
];

/** x h(x), h(x) = max(0, min(1, x / 6 + 0.5)): h + x h' */
const hardSwish: VjpRule['vjp'] = ({ build: b, dy, x: [x = ''] }) => [
  () => {
    const h = b.add('HardSigmoid', [x], {
      alpha: { kind: 'float', value: 1 / 6 },
      beta: { kind: 'float', value: 0.5 },
    });
    return mul(b, dy, b.add('Add', [h, mul(b, x, hardSigmoidSlope(b, h, 1 / 6))]));
  },
];

/** max(0, x) + min(0, a (exp(x / a) - 1)): y / a + 1 where negative */
const celu: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = ''], y }) => [
  () => {
    const slope = b.add('Add', [scale(b, y, 1 / floatAttribute(node, 'alpha', 1)), b.scalar(1)]);
    return b.add('Where', [positive(b, x), dy, mul(b, dy, slope)]);
  },
];

/** g x where positive, else g a (exp x - 1), whose slope is y + g a */
const selu: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = ''], y }) => [
  () => {
    const gamma = floatAttribute(node, 'gamma', 1.0507010221481323);
    const below = b.add('Add', [y, b.scalar(gamma * floatAttribute(node, 'alpha', 1.6732631921768188))]);
    return b.add('Where', [positive(b, x), scale(b, dy, gamma), mul(b, dy, below)]);
  },
];

/** x / (1 + |x|): 1 / (1 + |x|)^2 */
const softsign: VjpRule['vjp'] = ({ build: b, dy, x: [x = ''] }) => [
  () => {
    const below = b.add('Add', [b.add('Abs', [x]), b.scalar(1)]);
    return b.add('Div', [dy, mul(b, below, below)]);
  },
];

/** What lies within lambda of zero is zero. */
const shrink: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = ''] }) => [
  () => {
    const outside = b.add('Greater', [b.add('Abs', [x]), b.scalar(floatAttribute(node, 'lambd', 0.5))]);
    return b.add('Where', [outside, dy, b.scalar(0)]);
  },
];

const thresholdedRelu: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = ''] }) => [
  () => {
    const above = b.add('Greater', [x, b.scalar(floatAttribute(node, 'alpha', 1))]);
    return b.add('Where', [above, dy, b.scalar(0)]);
  },
];

/** s x where negative, with a slope s that broadcasts */
const pRelu: VjpRule['vjp'] = ({ build: b, dy, x: [x = '', slope = ''], y }) => [
  () => b.add('Where', [positive(b, x), dy, mul(b, dy, slope)]),
  () => sumToShape(b, mul(b, dy, b.add('Min', [x, b.scalar(0)])), slope, y),
];

export const activationRules: VjpTable = rulesOf({
  Tanh: tanh,
  Sigmoid: sigmoid,
  Relu: relu,
  Erf: erf,
  Gelu: gelu,
  'com.microsoft.Gelu': gelu,
  'com.microsoft.QuickGelu': quickGelu,
  Mish: mish,
  LeakyRelu: leakyRelu,
  Elu: elu,
  Softplus: softplus,
  HardSigmoid: hardSigmoid,
  HardSwish: hardSwish,
  Celu: celu,
  Selu: selu,
  Softsign: softsign,
  Shrink: shrink,
  ThresholdedRelu: thresholdedRelu,
  PRelu: pRelu,
});
