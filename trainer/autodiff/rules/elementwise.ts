/** Operators that work element by element over inputs that broadcast. */
import type { Builder } from '../builder.ts';
import { mul, neg, scale, sumToShape, zerosLike } from '../expressions.ts';
import { rulesOf, type VjpCall, type VjpRule, type VjpTable } from '../rule.ts';
import { isNaNGuard } from './normalize.ts';

/** d y / d x, multiplied by dy. */
function unary(derivative: (b: Builder, x: string, y: string) => string): VjpRule['vjp'] {
  return ({ build, dy, x: [x = ''], y }) => [() => mul(build, dy, derivative(build, x, y))];
}

/** Each input's gradient before it is summed to that input's shape. */
function broadcast(full: (call: VjpCall, index: number) => string): VjpRule['vjp'] {
  return (call) =>
    call.x.map((value, index) => () => sumToShape(call.build, full(call, index), value, call.y));
}

/** A sum to the input's shape first, as it is the smaller one. */
const linear: VjpRule['vjp'] = ({ build, dy, x, y }) =>
  x.map((value) => () => sumToShape(build, dy, value, y));

const subtract: VjpRule['vjp'] = ({ build, dy, x: [a = '', b = ''], y }) => [
  () => sumToShape(build, dy, a, y),
  () => neg(build, sumToShape(build, dy, b, y)),
];

const multiply = broadcast(({ build, dy, x }, index) => mul(build, dy, x[1 - index] as string));

const divide = broadcast(({ build, dy, x: [, b = ''], y }, index) => {
  const quotient = build.add('Div', [dy, b]);
  return index === 0 ? quotient : neg(build, mul(build, quotient, y));
});

/** The one that was taken; of equal ones the first. */
const extreme = (comparison: string) =>
  broadcast(({ build, dy, x: [a = '', b = ''] }, index) => {
    if (b === '') return dy;
    const first = build.add(comparison, [a, b]);
    const zero = build.scalar(0);
    return build.add('Where', index === 0 ? [first, dy, zero] : [first, zero, dy]);
  });

/** d x^p = p x^(p-1) dx; d x^p = x^p log(x) dp, and none where x is not positive: the power of zero does not vary with p. */
const power = broadcast(({ build, dy, x: [x = '', p = ''], y }, index) => {
  if (index === 1) {
    const isPositive = build.add('Greater', [x, build.scalar(0)]);
    const log = build.add('Log', [build.add('Where', [isPositive, x, build.scalar(1)])]);
    return mul(build, mul(build, dy, y), log);
  }
  const exponent = build.content(p);
  if (exponent?.data.length === 1) {
    const by = Number(exponent.data[0]);
    if (by === 2) return mul(build, dy, scale(build, x, 2));
    const lower = build.add('Pow', [x, build.scalar(by - 1)]);
    return mul(build, dy, scale(build, lower, by));
  }
  const lower = build.add('Pow', [x, build.add('Sub', [p, build.scalar(1)])]);
  return mul(build, dy, mul(build, p, lower));
});

const where: VjpRule['vjp'] = ({ node, build, dy, x: [condition = '', a = '', b = ''], y }) => {
  const zero = build.scalar(0);
  // The softmax before it sees to what is hidden.
  const guards = build.maker(b)?.opType === 'Softmax' && isNaNGuard(build, node, b);
  return [
    undefined,
    () => sumToShape(build, build.add('Where', [condition, dy, zero]), a, y),
    () => sumToShape(build, guards ? dy : build.add('Where', [condition, zero, dy]), b, y),
  ];
};

const clip: VjpRule['vjp'] = ({ build, dy, x: [x = '', low = '', high = ''] }) => [
  () => {
    const zero = build.scalar(0);
    const above = low === '' ? dy : build.add('Where', [build.add('Less', [x, low]), zero, dy]);
    return high === '' ? above : build.add('Where', [build.add('Greater', [x, high]), zero, above]);
  },
];

/** Graphs compute in float32 only, so a cast from float to float changes nothing; nor does Dropout where nothing is trained by it. */
const same: VjpRule['vjp'] = ({ dy }) => [() => dy];

/** Constant but for jumps. */
const flat: VjpRule['vjp'] = ({ build, x: [x = ''] }) => [() => zerosLike(build, x)];

/** y = a - q b with a whole q: dy/da = 1, dy/db = (y - a) / b. */
const modulo = broadcast(({ build, dy, x: [a = '', b = ''], y }, index) =>
  index === 0 ? dy : mul(build, dy, build.add('Div', [build.add('Sub', [y, a]), b])),
);

const ofMoreThanTwo: VjpRule['unsupported'] = ({ inputs }) =>
  inputs.length > 2 ? `${inputs.length} inputs` : undefined;

export const elementwiseRules: VjpTable = {
  ...rulesOf({
    Add: linear,
    Sum: linear,
    Sub: subtract,
    Mul: multiply,
    Div: divide,
    Pow: power,
    Mod: modulo,
    Where: where,
    Clip: clip,
    Identity: same,
    Cast: same,
    CastLike: same,
    Dropout: same,
    Neg: ({ build, dy }) => [() => neg(build, dy)],
    Mean: ({ build, dy, x, y }) =>
      x.map((value) => () => scale(build, sumToShape(build, dy, value, y), 1 / x.length)),
    Abs: unary((b, x) => b.add('Sign', [x])),
    Exp: unary((_, __, y) => y),
    Log: ({ build, dy, x: [x = ''] }) => [() => build.add('Div', [dy, x])],
    Sqrt: ({ build, dy, y }) => [() => build.add('Div', [scale(build, dy, 0.5), y])],
    Reciprocal: unary((b, _, y) => neg(b, mul(b, y, y))),
    Cos: unary((b, x) => neg(b, b.add('Sin', [x]))),
    Sin: unary((b, x) => b.add('Cos', [x])),
    Floor: flat,
    Ceil: flat,
    Round: flat,
    Sign: flat,
    Hardmax: flat,
  }),
  Max: { vjp: extreme('GreaterOrEqual'), unsupported: ofMoreThanTwo },
  Min: { vjp: extreme('LessOrEqual'), unsupported: ofMoreThanTwo },
};
