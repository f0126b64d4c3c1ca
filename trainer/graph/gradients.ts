/**
 * The gradients of TensorFlow.js's kernels that our operators use. Its Node build ships none: they live in the union package,
 * which brings layers, converters and browser backends along. Kept to what a graph's operators need, and summed over broadcast
 * axes by a matrix product where wasm's reduction is slow.
 */
import * as tf from '@tensorflow/tfjs-core';
import { elementCount } from './graph.ts';

type Attributes = Readonly<Record<string, unknown>>;

interface Gradient {
  /** Inputs, then outputs (if asked for), as `of` gets them. */
  readonly inputs?: readonly string[];
  readonly output?: boolean;
  readonly of: (
    dy: tf.Tensor,
    saved: readonly tf.Tensor[],
    attributes: Attributes,
  ) => Readonly<Record<string, () => tf.Tensor>>;
}

/** Sums a gradient over the axes along which an input of this shape was repeated. */
export function sumToShape(dy: tf.Tensor, shape: readonly number[]): tf.Tensor {
  if (tf.util.arraysEqual(dy.shape, [...shape])) return dy;
  const lead = dy.rank - shape.length;
  const axes = dy.shape
    .map((_, axis) => axis)
    .filter((axis) => {
      const own = shape[axis - lead] ?? 1;
      return own === 1 && dy.shape[axis] !== 1;
    });
  // Leading axes only: ones [1, rows] x [rows, rest]; wasm sums down columns fifteen times slower.
  const rest = dy.shape.slice(axes.length);
  if (axes.every((axis, i) => axis === i) && elementCount(rest) > 1) {
    const rows = elementCount(dy.shape.slice(0, axes.length));
    const sum = tf.matMul(tf.ones([1, rows]) as tf.Tensor2D, tf.reshape(dy, [rows, -1]) as tf.Tensor2D);
    return tf.reshape(sum, [...shape]);
  }
  return tf.reshape(tf.sum(dy, axes), [...shape]);
}

/** A function of one input, from dy and that input. */
const ofInput = (f: (dy: tf.Tensor, x: tf.Tensor) => tf.Tensor, name = 'x'): Gradient => ({
  inputs: [name],
  of: (dy, [x]) => ({ [name]: () => f(dy, x as tf.Tensor) }),
});

/** A function of one input, from dy and the output. */
const ofOutput = (f: (dy: tf.Tensor, y: tf.Tensor) => tf.Tensor, name = 'x'): Gradient => ({
  output: true,
  of: (dy, [y]) => ({ [name]: () => f(dy, y as tf.Tensor) }),
});

/** Only the layout changes: from dy, the input's shape and the kernel's attributes. */
const ofLayout = (
  f: (dy: tf.Tensor, shape: number[], attributes: Attributes) => tf.Tensor,
  name = 'x',
): Gradient => ({
  inputs: [name],
  of: (dy, [x], attributes) => ({ [name]: () => f(dy, (x as tf.Tensor).shape, attributes) }),
});

type Side = (dy: tf.Tensor, a: tf.Tensor, b: tf.Tensor) => tf.Tensor;

/** Two broadcast inputs. */
const ofPair = (left: Side, right: Side): Gradient => ({
  inputs: ['a', 'b'],
  of: (dy, saved) => {
    const [a, b] = saved as [tf.Tensor, tf.Tensor];
    return {
      a: () => sumToShape(left(dy, a, b), a.shape),
      b: () => sumToShape(right(dy, a, b), b.shape),
    };
  },
});

/** Piecewise constant: comparisons, roundings. */
const flat = (...names: string[]): Gradient => ({
  inputs: names,
  of: (_dy, saved) =>
    Object.fromEntries(names.map((name, i) => [name, () => tf.zeros((saved[i] as tf.Tensor).shape)])),
});

const where = (condition: tf.Tensor, dy: tf.Tensor) => tf.mul(dy, tf.cast(condition, 'float32'));

/** The reduced shape of `x`, so that it broadcasts against it again. */
function keptShape(shape: readonly number[], axis: unknown): number[] {
  const axes = tf.util.parseAxisParam((axis ?? shape.map((_, i) => i)) as number[], [...shape]);
  return shape.map((dim, i) => (axes.includes(i) ? 1 : dim));
}

const spread = (dy: tf.Tensor, shape: number[], axis: unknown) =>
  tf.broadcastTo(tf.reshape(dy, keptShape(shape, axis)), shape);

const extreme: Gradient = {
  inputs: ['x'],
  output: true,
  // TensorFlow.js calls Max's axes otherwise than Min's.
  of: (dy, saved, { reductionIndices, axis = reductionIndices }) => {
    const [x, y] = saved as [tf.Tensor, tf.Tensor];
    const kept = keptShape(x.shape, axis);
    return { x: () => where(tf.equal(x, tf.reshape(y, kept)), tf.reshape(dy, kept)) };
  },
};

/** Towards each element the product of the others: where one element is 0 not to be had from the whole, and with more zeros there is none. */
const product: Gradient = {
  inputs: ['x'],
  of: (dy, saved, { axis }) => ({ x: () => productBack(dy, saved[0] as tf.Tensor, axis) }),
};

function productBack(dy: tf.Tensor, x: tf.Tensor, axis: unknown): tf.Tensor {
  const kept = keptShape(x.shape, axis);
  const axes = tf.util.parseAxisParam((axis ?? x.shape.map((_, i) => i)) as number[], x.shape);
  const isZero = tf.equal(x, 0);
  const zeros = tf.sum(tf.cast(isZero, 'float32'), axes, true);
  const safe = tf.where(isZero, tf.onesLike(x), x);
  const others = tf.mul(tf.prod(safe, axes, true), tf.reshape(dy, kept));
  return tf.where(
    isZero,
    tf.broadcastTo(where(tf.equal(zeros, 1), others), x.shape),
    tf.div(where(tf.equal(zeros, 0), others), safe),
  );
}

const softmax: Gradient = ofOutput((dy, y) => {
  const weighted = tf.mul(dy, y);
  return tf.sub(weighted, tf.mul(tf.sum(weighted, -1, true), y));
}, 'logits');

const select: Gradient = {
  inputs: ['condition'],
  of: (dy, [condition]) => {
    const c = condition as tf.Tensor;
    return {
      condition: () => tf.zeros(c.shape),
      t: () => where(c, dy),
      e: () => where(tf.logicalNot(c), dy),
    };
  },
};

/** By the input only: filters are weights, and the masks' gradients never reach them. */
const convolution: Gradient = {
  inputs: ['x', 'filter'],
  of: (dy, saved, { strides, pad }) => {
    const [x, filter] = saved as [tf.Tensor4D, tf.Tensor4D];
    const [step, padding] = [strides as [number, number], pad as 'valid'];
    return { x: () => tf.conv2dTranspose(dy as tf.Tensor4D, filter, x.shape, step, padding) };
  },
};

const gradients: Readonly<Record<string, Gradient>> = {
  [tf.Add]: ofPair(
    (dy) => dy,
    (dy) => dy,
  ),
  [tf.Sub]: ofPair(
    (dy) => dy,
    (dy) => tf.neg(dy),
  ),
  [tf.Multiply]: ofPair(
    (dy, _a, b) => tf.mul(dy, b),
    (dy, a) => tf.mul(dy, a),
  ),
  [tf.RealDiv]: ofPair(
    (dy, _a, b) => tf.div(dy, b),
    (dy, a, b) => tf.neg(tf.div(tf.mul(dy, a), tf.square(b))),
  ),
  [tf.Pow]: ofPair(
    (dy, a, b) => tf.mul(dy, tf.mul(b, tf.pow(a, tf.sub(b, 1)))),
    (dy, a, b) => {
      // log of what is not positive has no gradient; the power of zero does not vary there. A float32 holds no number near enough to 0.
      const isPositive = tf.greater(a, 0);
      const log = tf.log(tf.where(isPositive, a, tf.onesLike(a)));
      return tf.mul(dy, tf.mul(tf.pow(a, b), log));
    },
  ),
  [tf.Maximum]: ofPair(
    (dy, a, b) => where(tf.greaterEqual(a, b), dy),
    (dy, a, b) => where(tf.less(a, b), dy),
  ),
  [tf.Minimum]: ofPair(
    (dy, a, b) => where(tf.lessEqual(a, b), dy),
    (dy, a, b) => where(tf.greater(a, b), dy),
  ),
  [tf.SquaredDifference]: ofPair(
    (dy, a, b) => tf.mul(dy, tf.mul(tf.sub(a, b), 2)),
    (dy, a, b) => tf.mul(dy, tf.mul(tf.sub(b, a), 2)),
  ),

  [tf.Neg]: ofInput((dy) => tf.neg(dy)),
  [tf.Abs]: ofInput((dy, x) => tf.mul(dy, tf.sign(x))),
  [tf.Square]: ofInput((dy, x) => tf.mul(dy, tf.mul(x, 2))),
  [tf.Log]: ofInput((dy, x) => tf.div(dy, x)),
  [tf.Sin]: ofInput((dy, x) => tf.mul(dy, tf.cos(x))),
  [tf.Cos]: ofInput((dy, x) => tf.neg(tf.mul(dy, tf.sin(x)))),
  [tf.Tan]: ofOutput((dy, y) => tf.mul(dy, tf.add(tf.square(y), 1))),
  [tf.Sinh]: ofInput((dy, x) => tf.mul(dy, tf.cosh(x))),
  [tf.Cosh]: ofInput((dy, x) => tf.mul(dy, tf.sinh(x))),
  [tf.Asin]: ofInput((dy, x) => tf.div(dy, tf.sqrt(tf.sub(1, tf.square(x))))),
  [tf.Acos]: ofInput((dy, x) => tf.neg(tf.div(dy, tf.sqrt(tf.sub(1, tf.square(x)))))),
  [tf.Atan]: ofInput((dy, x) => tf.div(dy, tf.add(tf.square(x), 1))),
  [tf.Asinh]: ofInput((dy, x) => tf.div(dy, tf.sqrt(tf.add(tf.square(x), 1)))),
  [tf.Acosh]: ofInput((dy, x) => tf.div(dy, tf.sqrt(tf.sub(tf.square(x), 1)))),
  [tf.Atanh]: ofInput((dy, x) => tf.div(dy, tf.sub(1, tf.square(x)))),
  [tf.Erf]: ofInput((dy, x) => tf.mul(dy, tf.mul(tf.exp(tf.neg(tf.square(x))), 2 / Math.sqrt(Math.PI)))),
  [tf.Softplus]: ofInput((dy, x) => tf.mul(dy, tf.sigmoid(x))),
  [tf.Relu]: ofInput((dy, x) => tf.mul(dy, tf.step(x))),
  [tf.LeakyRelu]: {
    inputs: ['x'],
    of: (dy, [x], { alpha }) => ({ x: () => tf.mul(dy, tf.step(x as tf.Tensor, alpha as number)) }),
  },
  [tf.ClipByValue]: {
    inputs: ['x'],
    of: (dy, [x], { clipValueMin, clipValueMax }) => ({
      x: () =>
        where(
          tf.logicalAnd(
            tf.greaterEqual(x as tf.Tensor, clipValueMin as number),
            tf.lessEqual(x as tf.Tensor, clipValueMax as number),
          ),
          dy,
        ),
    }),
  },
  [tf.Exp]: ofOutput((dy, y) => tf.mul(dy, y)),
  [tf.Sqrt]: ofOutput((dy, y) => tf.div(dy, tf.mul(y, 2))),
  [tf.Rsqrt]: ofOutput((dy, y) => tf.mul(dy, tf.mul(tf.mul(tf.square(y), y), -0.5))),
  [tf.Tanh]: ofOutput((dy, y) => tf.mul(dy, tf.sub(1, tf.square(y)))),
  [tf.Sigmoid]: ofOutput((dy, y) => tf.mul(dy, tf.mul(y, tf.sub(1, y)))),
  [tf.Softmax]: softmax,

  [tf.Identity]: ofInput((dy) => dy),
  [tf.Cast]: ofInput((dy) => tf.cast(dy, 'float32')),
  [tf.Reshape]: ofLayout((dy, shape) => tf.reshape(dy, shape)),
  [tf.ExpandDims]: ofLayout((dy, shape) => tf.reshape(dy, shape), 'input'),
  [tf.Transpose]: ofLayout((dy, shape, { perm }) =>
    tf.transpose(
      dy,
      shape.map((_, axis) => (perm as number[]).indexOf(axis)),
    ),
  ),
  [tf.Slice]: ofLayout((dy, shape, { begin }) => {
    const starts = shape.map((_, axis) => [begin].flat()[axis] as number);
    return tf.pad(
      dy,
      starts.map((start, a) => [start, (shape[a] as number) - start - (dy.shape[a] as number)]),
    );
  }),
  [tf.PadV2]: ofLayout((dy, shape, { paddings }) =>
    tf.slice(
      dy,
      (paddings as [number, number][]).map(([before]) => before),
      shape,
    ),
  ),
  [tf.Reverse]: ofLayout((dy, _shape, { dims }) => tf.reverse(dy, dims as number[])),
  [tf.Tile]: ofLayout((dy, shape, { reps }) => {
    const folded = shape.flatMap((dim, axis) => [(reps as number[])[axis] as number, dim]);
    return tf.reshape(
      sumToShape(
        tf.reshape(dy, folded),
        shape.flatMap((dim) => [1, dim]),
      ),
      shape,
    );
  }),
  [tf.Sum]: ofLayout((dy, shape, { axis }) => spread(dy, shape, axis)),
  [tf.Mean]: ofLayout((dy, shape, { axis }) => {
    const count = elementCount(shape) / elementCount(keptShape(shape, axis));
    return spread(tf.div(dy, count), shape, axis);
  }),
  [tf.Max]: extreme,
  [tf.Min]: extreme,
  [tf.Prod]: product,
  [tf.Cumsum]: ofLayout((dy, _shape, { axis, exclusive, reverse }) =>
    tf.cumsum(dy, axis as number, exclusive as boolean, !reverse),
  ),
  [tf.Select]: select,
  [tf.Conv2D]: convolution,

  [tf.Floor]: flat('x'),
  [tf.Ceil]: flat('x'),
  [tf.Round]: flat('x'),
  [tf.Sign]: flat('x'),
  [tf.ArgMax]: flat('x'),
  [tf.ArgMin]: flat('x'),
  [tf.OneHot]: flat('indices'),
  [tf.ZerosLike]: flat('x'),
  [tf.OnesLike]: flat('x'),
  [tf.IsNan]: flat('x'),
  [tf.IsInf]: flat('x'),
  [tf.LogicalNot]: flat('x'),
  [tf.LogicalAnd]: flat('a', 'b'),
  [tf.LogicalOr]: flat('a', 'b'),
  [tf.Equal]: flat('a', 'b'),
  [tf.Greater]: flat('a', 'b'),
  [tf.GreaterEqual]: flat('a', 'b'),
  [tf.Less]: flat('a', 'b'),
  [tf.LessEqual]: flat('a', 'b'),
};

/** Concatenation takes any number of inputs, keyed by position, and gives back as many slices. */
const concatenation: tf.GradConfig = {
  kernelName: tf.Concat,
  saveAllInputs: true,
  gradFunc: (dy, saved, { axis }) => {
    const gradient = dy as tf.Tensor;
    const along = tf.util.parseAxisParam(axis as unknown as number, gradient.shape)[0] as number;
    let start = 0;
    const parts = saved.map(({ shape }) => {
      const from = start;
      const begin = shape.map((_, a) => (a === along ? from : 0));
      start += shape[along] as number;
      return () => tf.slice(gradient, begin, shape);
    });
    return parts as unknown as ReturnType<tf.GradConfig['gradFunc']>;
  },
};

/** A gradient that is dy itself as a tensor of its own: backpropagation frees each as soon as another one is added to it. */
function ownEach(
  given: Readonly<Record<string, () => tf.Tensor>>,
  dy: tf.Tensor | tf.Tensor[],
): Record<string, () => tf.Tensor> {
  return Object.fromEntries(
    Object.entries(given).map(([name, make]) => [
      name,
      () => {
        const gradient = make();
        return gradient === dy ? tf.clone(gradient) : gradient;
      },
    ]),
  );
}

/** Makes the gradients known to TensorFlow.js; its registry is global, and doing so again changes nothing. */
export function registerGradients(): void {
  for (const [kernelName, { inputs = [], output = false, of }] of Object.entries(gradients))
    tf.registerGradient({
      kernelName,
      inputsToSave: [...inputs],
      outputsToSave: [output],
      gradFunc: (dy, saved, attributes) => ownEach(of(dy as tf.Tensor, saved, attributes as Attributes), dy),
    });
  tf.registerGradient(concatenation);
}
