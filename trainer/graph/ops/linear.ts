/** Matrix products and convolutions. Forward and gradient are written together, so that neither transposes by flag where that is slow. */
import * as tf from '@tensorflow/tfjs-core';
import { floatAttribute, intAttribute } from '../graph.ts';
import { toDevice } from '../value.ts';
import { always, type Evaluate, input, type OpTable } from './op.ts';

/** Which of a product's two sides take a gradient. */
export type Sides = readonly [left: boolean, right: boolean];

/** A product's forward and its two gradients, each from dy and the two sides. */
interface Product {
  readonly forward: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor;
  readonly left: (dy: tf.Tensor, b: tf.Tensor) => tf.Tensor;
  readonly right: (dy: tf.Tensor, a: tf.Tensor) => tf.Tensor;
}

/** [R, K] x [K, M]. On wasm as shipped, a 2-D product that transposes by flag runs ten times slower than one of transposed data. */
const flat: Product = {
  forward: (a, b) => tf.matMul(a, b),
  left: (dy, b) => tf.matMul(dy, tf.transpose(b)), // [R, M] [M, K]
  right: (dy, a) => tf.matMul(tf.transpose(a), dy), // [K, R] [R, M]
};

/** [B, N, K] x [B, K, M], equal batches. */
const batched: Product = {
  forward: (a, b) => tf.matMul(a, b),
  left: (dy, b) => tf.matMul(dy, b, false, true), // [B, N, M] [B, M, K]
  right: (dy, a) => tf.matMul(a, dy, true, false), // [B, K, N] [B, N, M]
};

/** A side that takes no gradient is closed over, so that its gradient is never formed; `save` keeps what the gradient reads. */
function withGradient<T extends tf.Tensor>(product: Product, a: T, b: T, [left, right]: Sides): T {
  const record = (
    inputs: T[],
    keep: T[],
    gradient: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.Tensor | tf.Tensor[],
  ) =>
    tf.customGrad((...args) => {
      (args.at(-1) as tf.GradSaveFunc)(keep);
      return { value: product.forward(a, b), gradFunc: gradient as (dy: tf.Tensor) => tf.Tensor[] };
    })(...inputs) as T;
  if (left && right)
    return record([a, b], [a, b], (dy, [x, y]) => [
      product.left(dy, y as tf.Tensor),
      product.right(dy, x as tf.Tensor),
    ]);
  if (left) return record([a], [b], (dy, [y]) => product.left(dy, y as tf.Tensor));
  if (right) return record([b], [a], (dy, [x]) => product.right(dy, x as tf.Tensor));
  return product.forward(a, b) as T;
}

/** [R, K] x [K, M], with the gradient of the sides that take one. */
export function product2d(x: tf.Tensor2D, w: tf.Tensor2D, sides: Sides): tf.Tensor2D {
  return withGradient(flat, x, w, sides);
}

/** Numpy's matmul: vectors are promoted, batches broadcast, a common matrix makes one 2-D product. */
export function matmul(a: tf.Tensor, b: tf.Tensor, sides: Sides): tf.Tensor {
  if (a.rank === 1) return tf.squeeze(matmul(tf.reshape(a, [1, -1]), b, sides), [Math.max(b.rank - 2, 0)]);
  if (b.rank === 1) return tf.squeeze(matmul(a, tf.reshape(b, [-1, 1]), sides), [-1]);
  const [n, k] = a.shape.slice(-2) as [number, number];
  const m = b.shape.at(-1) as number;
  if (b.rank === 2) {
    const rows = tf.reshape(a, [-1, k]) as tf.Tensor2D;
    return tf.reshape(product2d(rows, b as tf.Tensor2D, sides), [...a.shape.slice(0, -1), m]);
  }
  const batch = tf.backend_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const left = tf.reshape(widen(a, batch), [-1, n, k]) as tf.Tensor3D;
  const right = tf.reshape(widen(b, batch), [-1, k, m]) as tf.Tensor3D;
  return tf.reshape(withGradient(batched, left, right, sides), [...batch, n, m]);
}

function widen(x: tf.Tensor, batch: readonly number[]): tf.Tensor {
  const shape = [...batch, ...x.shape.slice(-2)];
  return tf.util.arraysEqual(shape, x.shape) ? x : tf.broadcastTo(x, shape);
}

const sidesOf = (gradient: readonly boolean[]): Sides => [gradient[0] === true, gradient[1] === true];

const matMul: Evaluate = (call) =>
  matmul(toDevice(input(call, 0)), toDevice(input(call, 1)), sidesOf(call.gradient));

/** alpha A'B' + beta C. */
const gemm: Evaluate = (call) => {
  const { node } = call;
  const turned = (index: number, name: string) => {
    const x = toDevice(input(call, index)) as tf.Tensor2D;
    return intAttribute(node, name, 0) === 1 ? tf.transpose(x) : x;
  };
  const scaled = (x: tf.Tensor, name: string) => {
    const factor = floatAttribute(node, name, 1);
    return factor === 1 ? x : tf.mul(x, factor);
  };
  const y = scaled(product2d(turned(0, 'transA'), turned(1, 'transB'), sidesOf(call.gradient)), 'alpha');
  const c = call.inputs[2];
  return c === undefined ? y : tf.add(y, scaled(toDevice(c), 'beta'));
};

/** com.microsoft.FusedMatMul: alpha A'B', transposing the last two axes. */
const fusedMatMul: Evaluate = (call) => {
  const turned = (index: number, name: string) => {
    const x = toDevice(input(call, index));
    if (intAttribute(call.node, name, 0) === 0) return x;
    const order = x.shape.map((_, axis) => axis);
    return tf.transpose(x, [...order.slice(0, -2), x.rank - 1, x.rank - 2]);
  };
  const y = matmul(turned(0, 'transA'), turned(1, 'transB'), sidesOf(call.gradient));
  const alpha = floatAttribute(call.node, 'alpha', 1);
  return alpha === 1 ? y : tf.mul(y, alpha);
};

export const linearOps: OpTable = {
  MatMul: always(matMul),
  Gemm: always(gemm),
  'com.microsoft.FusedMatMul': always(fusedMatMul),
};
