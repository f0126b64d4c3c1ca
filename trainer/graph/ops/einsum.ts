/**
 * Einsum, two operands at a time: each is brought to [batch, own, shared] and multiplied, so that its gradient is that of a matrix
 * product. A dimension of length 1 broadcasts.
 */
import * as tf from '@tensorflow/tfjs-core';
import { parseEquation } from '../einsum-equation.ts';
import { elementCount, stringAttribute } from '../graph.ts';
import { isHost, stridesOf, toDevice, toHost, type Value } from '../value.ts';
import { take } from './gather.ts';
import { matmul, type Sides } from './linear.ts';
import { always, type Evaluate, type OpTable } from './op.ts';

/** A tensor with a label for each of its axes. */
interface Term {
  readonly labels: readonly string[];
  readonly x: tf.Tensor;
  readonly gradient: boolean;
}

const einsum: Evaluate = (call) => {
  const values = call.inputs.filter((value) => value !== undefined);
  const tensors = values.map((value) => tf.cast(toDevice(value), 'float32'));
  const { inputs, output } = parseEquation(
    stringAttribute(call.node, 'equation', ''),
    tensors.map((x) => x.rank),
  );
  const terms = tensors.map((x, i) =>
    diagonal({ x, labels: inputs[i] as string[], gradient: call.gradient[i] === true }),
  );
  const [first, ...rest] = terms as [Term, ...Term[]];
  const joined = rest.reduce((left, right, i) => {
    const later = new Set([...output, ...rest.slice(i + 1).flatMap(({ labels }) => labels)]);
    return contract(left, right, later);
  }, first);
  const reduced = onlyLabels(joined, (label) => output.includes(label));
  const y = arranged(reduced, output);
  const [given] = values as [Value];
  return isHost(given) && given.dtype !== 'float32' ? { ...toHost(y), dtype: given.dtype } : y;
};

/** A label that occurs twice in one term reads the diagonal. */
function diagonal({ x, labels, gradient }: Term): Term {
  const distinct = [...new Set(labels)];
  if (distinct.length === labels.length) return { x, labels, gradient };
  const strides = stridesOf(x.shape);
  const dims = distinct.map((label) => x.shape[labels.indexOf(label)] as number);
  const steps = distinct.map((label) =>
    labels.reduce((sum, other, axis) => (other === label ? sum + (strides[axis] as number) : sum), 0),
  );
  const at = dims.reduce<number[]>(
    (all, dim, i) =>
      all.flatMap((from) => Array.from({ length: dim }, (_, k) => from + k * (steps[i] as number))),
    [0],
  );
  const picked = take(tf.reshape(x, [-1]), at, 0, gradient) as tf.Tensor;
  return { x: tf.reshape(picked, dims), labels: distinct, gradient };
}

/** Sums away the axes whose labels are not wanted. */
function onlyLabels({ x, labels, gradient }: Term, wanted: (label: string, axis: number) => boolean): Term {
  const axes = labels.flatMap((label, axis) => (wanted(label, axis) ? [] : [axis]));
  if (axes.length === 0) return { x, labels, gradient };
  return { x: tf.sum(x, axes), labels: labels.filter((label, axis) => wanted(label, axis)), gradient };
}

/** The axes in the order of `order`, with length 1 for a label that is missing. */
function arranged({ x, labels }: Term, order: readonly string[]): tf.Tensor {
  const present = order.filter((label) => labels.includes(label));
  const turned = tf.transpose(
    x,
    present.map((label) => labels.indexOf(label)),
  );
  return tf.reshape(
    turned,
    order.map((label) => (labels.includes(label) ? (x.shape[labels.indexOf(label)] as number) : 1)),
  );
}

/** Multiplies two terms and sums over the labels that both have and nobody needs later. */
function contract(left: Term, right: Term, later: ReadonlySet<string>): Term {
  const length = ({ x, labels }: Term, label: string) => x.shape[labels.indexOf(label)] ?? 1;
  const needed = (other: Term) => (label: string) => later.has(label) || other.labels.includes(label);
  // An axis of length 1 against a longer one broadcasts: without it the other side's stays its own.
  const shrunk = (term: Term, other: Term) =>
    onlyLabels(
      onlyLabels(term, needed(other)),
      (label) => length(term, label) !== 1 || length(other, label) === 1,
    );
  const [a, b] = [shrunk(left, right), shrunk(right, left)];
  const shared = a.labels.filter((label) => b.labels.includes(label));
  const batch = shared.filter((label) => later.has(label));
  const summed = shared.filter((label) => !later.has(label));
  const ownA = a.labels.filter((label) => !shared.includes(label));
  const ownB = b.labels.filter((label) => !shared.includes(label));
  const size = (term: Term, labels: readonly string[]) =>
    elementCount(labels.map((label) => length(term, label)));
  const sides: Sides = [a.gradient, b.gradient];
  const wide = (term: Term, order: readonly string[], shape: number[]) =>
    tf.reshape(arranged(term, order), batch.length === 0 ? shape : [size(a, batch), ...shape]);
  const product = matmul(
    wide(a, [...batch, ...ownA, ...summed], [size(a, ownA), size(a, summed)]),
    wide(b, [...batch, ...summed, ...ownB], [size(b, summed), size(b, ownB)]),
    sides,
  );
  const labels = [...batch, ...ownA, ...ownB];
  const dims = [
    ...[...batch, ...ownA].map((label) => length(a, label)),
    ...ownB.map((label) => length(b, label)),
  ];
  return { x: tf.reshape(product, dims), labels, gradient: a.gradient || b.gradient };
}

export const einsumOps: OpTable = { Einsum: always(einsum) };
