/** Functions of one number that transformers rarely use, and integer bit operations of their masks. */
import * as tf from '@tensorflow/tfjs-core';
import { elementCount, intAttribute, stringAttribute } from '../graph.ts';
import { dimsOf, hostValue, isHost, mapHost, toHost } from '../value.ts';
import { always, type Evaluate, input, type OpTable } from './op.ts';

function either(host: (x: number) => number, device: (x: tf.Tensor) => tf.Tensor): Evaluate {
  return (call) => {
    const x = input(call, 0);
    return isHost(x) ? mapHost(x.dtype, [x], host) : device(x);
  };
}

/** Bits of integers, on the host: their values go up to 2^53, which int32 kernels would cut. */
function bits(f: (a: bigint, b: bigint) => bigint): Evaluate {
  return (call) => {
    const [a, b] = [toHost(input(call, 0)), toHost(input(call, 1))];
    const unsigned = (x: number) => (a.dtype === 'uint8' ? x & 255 : x);
    return mapHost(a.dtype, [a, b], (x, y) => unsigned(Number(f(BigInt(x), BigInt(y)))));
  };
}

const bitwiseNot: Evaluate = (call) => {
  const x = toHost(input(call, 0));
  return mapHost(x.dtype, [x], (v) => (x.dtype === 'uint8' ? 255 - v : -1 - v));
};

/** A shift by a negative number is one by more than all bits, as for unsigned numbers. */
const bitShift: Evaluate = (call) => {
  const left = stringAttribute(call.node, 'direction', 'LEFT') === 'LEFT';
  const by = (b: bigint) => (b < 0n || b > 64n ? 64n : b);
  return bits((a, b) => (left ? BigInt.asIntN(64, a << by(b)) : a >> by(b)))(call);
};

/** Ones on a diagonal of a matrix of the input's shape. */
const eyeLike: Evaluate = (call) => {
  const like = input(call, 0);
  const [rows, columns] = dimsOf(like) as [number, number];
  const offset = intAttribute(call.node, 'k', 0);
  const data = Float64Array.from({ length: elementCount([rows, columns]) }, (_, i) =>
    (i % columns) - Math.floor(i / columns) === offset ? 1 : 0,
  );
  const asked = eyeTypes[intAttribute(call.node, 'dtype', 0)];
  return hostValue(asked ?? toHost(like).dtype, [rows, columns], data);
};

const eyeTypes: Readonly<Record<number, 'float32' | 'int32' | 'int64' | 'bool' | 'float64'>> = {
  1: 'float32',
  6: 'int32',
  7: 'int64',
  9: 'bool',
  11: 'float64',
};

export const mathOps: OpTable = {
  Acos: always(either(Math.acos, tf.acos)),
  Acosh: always(either(Math.acosh, tf.acosh)),
  Asin: always(either(Math.asin, tf.asin)),
  Asinh: always(either(Math.asinh, tf.asinh)),
  Atan: always(either(Math.atan, tf.atan)),
  Atanh: always(either(Math.atanh, tf.atanh)),
  Cosh: always(either(Math.cosh, tf.cosh)),
  Sinh: always(either(Math.sinh, tf.sinh)),
  Tan: always(either(Math.tan, tf.tan)),
  BitShift: always(bitShift),
  BitwiseAnd: always(bits((a, b) => a & b)),
  BitwiseOr: always(bits((a, b) => a | b)),
  BitwiseXor: always(bits((a, b) => a ^ b)),
  BitwiseNot: always(bitwiseNot),
  EyeLike: always(eyeLike),
};
