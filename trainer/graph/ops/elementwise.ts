/** Operators that work element by element, with broadcasting; on the host when all inputs are there. */
import * as tf from '@tensorflow/tfjs-core';
import { sumToShape } from '../gradients.ts';
import { type Dtype, floatAttribute, intAttribute } from '../graph.ts';
import { dimsOf, hostValue, isFloat, isHost, mapHost, toDevice, toHost, type Value } from '../value.ts';
import { always, type Evaluate, input, type OpTable, requiredNumbers } from './op.ts';

type Unary = (x: number) => number;
type Binary = (a: number, b: number) => number;

function unary(host: Unary, device: (x: tf.Tensor) => tf.Tensor): Evaluate {
  return (call) => {
    const x = input(call, 0);
    return isHost(x) ? mapHost(x.dtype, [x], host) : device(x);
  };
}

function arithmetic(host: Binary, device: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor): Evaluate {
  return (call) => {
    const a = input(call, 0);
    const b = input(call, 1);
    return isHost(a) && isHost(b) ? mapHost(a.dtype, [a, b], host) : device(toDevice(a), toDevice(b));
  };
}

function comparison(host: Binary, device: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor): Evaluate {
  return (call) => {
    const a = input(call, 0);
    const b = input(call, 1);
    return isHost(a) && isHost(b) ? mapHost('bool', [a, b], host) : device(toDevice(a), toDevice(b));
  };
}

function predicate(host: Unary, device: (x: tf.Tensor) => tf.Tensor): Evaluate {
  return (call) => {
    const x = input(call, 0);
    return isHost(x) ? mapHost('bool', [x], host) : device(x);
  };
}

/** Sum, Mean, Max, Min of any number of tensors. */
function variadic(host: Binary, device: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor): Evaluate {
  return (call) => {
    const pair = arithmetic(host, device);
    return call.inputs
      .slice(1)
      .reduce<Value>((left, right) => pair({ ...call, inputs: [left, right] }) as Value, input(call, 0));
  };
}

/** Integers divide towards zero; a device integer is brought to the host, where division is exact. */
const divide: Evaluate = (call) => {
  const a = input(call, 0);
  const b = input(call, 1);
  if (isFloat(a)) return arithmetic((x, y) => x / y, tf.div)(call);
  return mapHost(toHost(a).dtype, [toHost(a), toHost(b)], (x, y) => Math.trunc(x / y));
};

const power: Evaluate = (call) => {
  const a = input(call, 0);
  const by = input(call, 1);
  if (call.gradient[1] && !isHost(by)) return tf.pow(toDevice(a), by);
  const b = toHost(by);
  if (isHost(a)) return mapHost(a.dtype, [a, b], isFloat(a) ? Math.pow : (x, y) => Math.trunc(x ** y));
  const exponent = b.data.length === 1 ? b.data[0] : undefined;
  // The general power goes through logarithms in its gradient; these two are what exporters write.
  if (exponent === 2) return tf.square(a);
  if (exponent === 0.5) return tf.sqrt(a);
  if (exponent === 3) return tf.mul(tf.square(a), a);
  return tf.pow(a, toDevice(b));
};

/** Python's modulo (sign of the divisor) or, with `fmod`, C's. */
const modulo: Evaluate = (call) => {
  const truncated = intAttribute(call.node, 'fmod', 0) === 1;
  const remainder = (a: Value, b: Value) => {
    const host = toHost(a);
    return mapHost(host.dtype, [host, toHost(b)], truncated ? (x, y) => x % y : floored);
  };
  const [a, b] = [input(call, 0), input(call, 1)];
  return call.gradient.includes(true) && isFloat(a) ? differentiable(remainder, a, b) : remainder(a, b);
};

/** y = a - q b with a whole q, which does not change along the way: dy/da = 1, dy/db = (y - a) / b. */
function differentiable(remainder: (a: Value, b: Value) => Value, dividend: Value, divisor: Value): Value {
  return tf.customGrad((...args) => {
    const [a, b, save] = args as unknown as [tf.Tensor, tf.Tensor, tf.GradSaveFunc];
    const y = toDevice(remainder(a, b));
    save([a, b, y]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [from, by, rest] = saved as [tf.Tensor, tf.Tensor, tf.Tensor];
      return [sumToShape(dy, from.shape), sumToShape(tf.mul(dy, tf.div(tf.sub(rest, from), by)), by.shape)];
    };
    return { value: y, gradFunc };
  })(toDevice(dividend), toDevice(divisor));
}

/** The remainder with the sign of the divisor; not by division, which overflows and loses digits. */
const floored: Binary = (x, y) => {
  const rest = x % y;
  return rest !== 0 && rest < 0 !== y < 0 ? rest + y : rest;
};

/** Chooses by a condition; the gradient goes to the chosen side only. */
const where: Evaluate = (call) => {
  const [condition, a, b] = [input(call, 0), input(call, 1), input(call, 2)];
  if (isHost(condition) && isHost(a) && isHost(b))
    return mapHost(a.dtype, [condition, a, b], (c, x, y) => (c ? x : y));
  return tf.where(bool(toDevice(condition)), toDevice(a), toDevice(b));
};

const castTypes: Readonly<Record<number, Dtype>> = {
  1: 'float32',
  2: 'uint8',
  6: 'int32',
  7: 'int64',
  9: 'bool',
  11: 'float64',
};

function castTo(x: Value, dtype: Dtype): Value {
  if (isHost(x)) {
    const convert: Unary =
      dtype === 'bool' ? (v) => (v ? 1 : 0) : dtype.startsWith('float') ? (v) => v : Math.trunc;
    return mapHost(dtype, [x], convert);
  }
  if (dtype === 'bool') return tf.cast(x, 'bool');
  return tf.cast(x, dtype.startsWith('float') ? 'float32' : 'int32');
}

const cast: Evaluate = (call) => castTo(input(call, 0), castTypes[intAttribute(call.node, 'to', 0)] as Dtype);

const castLike: Evaluate = (call) => {
  const like = input(call, 1);
  return castTo(input(call, 0), isHost(like) ? like.dtype : (toDtype[like.dtype] ?? 'float32'));
};

const toDtype: Readonly<Record<string, Dtype>> = { float32: 'float32', int32: 'int64', bool: 'bool' };

const clip: Evaluate = (call) => {
  const x = input(call, 0);
  const bound = (index: number, name: string, fallback: number) => {
    const value = call.inputs[index];
    return value ? (requiredNumbers(call, index)[0] as number) : floatAttribute(call.node, name, fallback);
  };
  const low = bound(1, 'min', Number.NEGATIVE_INFINITY);
  const high = bound(2, 'max', Number.POSITIVE_INFINITY);
  if (isHost(x)) return mapHost(x.dtype, [x], (v) => Math.min(Math.max(v, low), high));
  // Bounds the wrong way round give the upper one, which the backends refuse.
  return low > high ? tf.fill(x.shape, high) : tf.clipByValue(x, low, high);
};

/** Either sign of infinity can be left out. */
const isInfinite: Evaluate = (call) => {
  const high = intAttribute(call.node, 'detect_positive', 1) === 1;
  const low = intAttribute(call.node, 'detect_negative', 1) === 1;
  const x = input(call, 0);
  if (isHost(x))
    return mapHost('bool', [x], (v) => ((high && v === Infinity) || (low && v === -Infinity) ? 1 : 0));
  if (high && low) return tf.isInf(x);
  if (high === low) return tf.fill(x.shape, 0, 'bool');
  return tf.equal(x, tf.fill(x.shape, high ? Infinity : -Infinity));
};

/** IEEE rounding to even, which Math.round is not. */
function roundEven(x: number): number {
  const rounded = Math.round(x);
  return Math.abs(x % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

const identity: Evaluate = (call) => input(call, 0);

/** Dropout does nothing at inference; its optional mask is all true. */
const dropout: Evaluate = (call) => {
  const x = input(call, 0);
  if (call.node.outputs.length < 2) return x;
  const dims = dimsOf(x);
  return [x, hostValue('bool', dims, new Float64Array(dims.reduce((a, b) => a * b, 1)).fill(1))];
};

const mean: Evaluate = (call) => {
  const total = variadic((a, b) => a + b, tf.add)(call) as Value;
  const count = call.inputs.length;
  return isHost(total) ? mapHost(total.dtype, [total], (x) => x / count) : tf.div(total, count);
};

const or =
  (f: (x: number) => boolean): Unary =>
  (x) =>
    f(x) ? 1 : 0;
const test =
  (f: (a: number, b: number) => boolean): Binary =>
  (a, b) =>
    f(a, b) ? 1 : 0;
const bool = (x: tf.Tensor) => tf.cast(x, 'bool');

export const elementwiseOps: OpTable = {
  Add: always(arithmetic((a, b) => a + b, tf.add)),
  Sub: always(arithmetic((a, b) => a - b, tf.sub)),
  Mul: always(arithmetic((a, b) => a * b, tf.mul)),
  Div: always(divide),
  Pow: always(power),
  Mod: always(modulo),
  Max: always(variadic(Math.max, tf.maximum)),
  Min: always(variadic(Math.min, tf.minimum)),
  Sum: always(variadic((a, b) => a + b, tf.add)),
  Mean: always(mean),
  Neg: always(unary((x) => -x, tf.neg)),
  Abs: always(unary(Math.abs, tf.abs)),
  Sqrt: always(unary(Math.sqrt, tf.sqrt)),
  Reciprocal: always(
    unary(
      (x) => 1 / x,
      (x) => tf.div(1, x),
    ),
  ),
  Exp: always(unary(Math.exp, tf.exp)),
  Log: always(unary(Math.log, tf.log)),
  Sin: always(unary(Math.sin, tf.sin)),
  Cos: always(unary(Math.cos, tf.cos)),
  Floor: always(unary(Math.floor, tf.floor)),
  Ceil: always(unary(Math.ceil, tf.ceil)),
  Round: always(unary(roundEven, tf.round)),
  Sign: always(unary(Math.sign, tf.sign)),
  Equal: always(
    comparison(
      test((a, b) => a === b),
      tf.equal,
    ),
  ),
  Greater: always(
    comparison(
      test((a, b) => a > b),
      tf.greater,
    ),
  ),
  GreaterOrEqual: always(
    comparison(
      test((a, b) => a >= b),
      tf.greaterEqual,
    ),
  ),
  Less: always(
    comparison(
      test((a, b) => a < b),
      tf.less,
    ),
  ),
  LessOrEqual: always(
    comparison(
      test((a, b) => a <= b),
      tf.lessEqual,
    ),
  ),
  And: always(
    comparison(
      (a, b) => a & b,
      (a, b) => tf.logicalAnd(bool(a), bool(b)),
    ),
  ),
  Or: always(
    comparison(
      (a, b) => a | b,
      (a, b) => tf.logicalOr(bool(a), bool(b)),
    ),
  ),
  Xor: always(
    comparison(
      (a, b) => a ^ b,
      (a, b) => tf.logicalXor(bool(a), bool(b)),
    ),
  ),
  Not: always(
    predicate(
      (x) => 1 - x,
      (x) => tf.logicalNot(bool(x)),
    ),
  ),
  IsNaN: always(predicate(or(Number.isNaN), tf.isNaN)),
  IsInf: always(isInfinite),
  Where: always(where),
  Cast: always(cast, (node) => {
    const to = intAttribute(node, 'to', 0);
    return castTypes[to] ? undefined : `a cast to ONNX element type ${to}`;
  }),
  CastLike: always(castLike),
  Clip: always(clip),
  Identity: always(identity),
  Dropout: always(dropout),
};
