/**
 * Einsum of one or two operands as a matrix product: axes brought to [batch..., own, summed], several of a kind folded into one.
 * Against a constant it becomes a linear map, whose matrix is folded here and now.
 */
import { parseEquation } from '../einsum-equation.ts';
import { elementCount, stringAttribute } from '../graph.ts';
import { transposeTensor } from '../linear.ts';
import type { NodeBuilder, Unfold } from './node-builder.ts';

/** A value with a label for each of its axes. */
interface Term {
  readonly x: string;
  readonly labels: readonly string[];
}

export const einsum: Unfold = (b) => {
  const ranks = b.node.inputs.map((value) => b.rank(value));
  if (ranks.length > 2 || ranks.includes(undefined)) return undefined;
  const { inputs, output } = parseEquation(stringAttribute(b.node, 'equation', ''), ranks as number[]);
  // A label that stands twice reads a diagonal.
  if (inputs.some((labels) => new Set(labels).size < labels.length)) return undefined;
  if (b.node.inputs.some((value) => b.dtype(value) !== 'float32')) return undefined;
  const [a, other] = inputs.map(
    (labels, i): Term => summed(b, { x: b.node.inputs[i] as string, labels }, output, inputs[1 - i] ?? []),
  );
  if (!a) return undefined;
  if (!other) return [arranged(b, a, output)];
  const [left, right] = b.initializer(a.x) ? [other, a] : [a, other];
  const joined = toMatrix(b, left, right, output) ?? product(b, left, right, output);
  if (joined) return [arranged(b, joined, output)];
  const isSummed = left.labels.some((label) => right.labels.includes(label) && !output.includes(label));
  return isSummed ? undefined : [b.op('Mul', [spread(b, left, output), spread(b, right, output)])];
};

/** With an axis of one element for each label that it lacks. */
function spread(b: NodeBuilder, term: Term, order: readonly string[]): string {
  const own = order.filter((label) => term.labels.includes(label));
  const x = arranged(b, term, own);
  const lacking = order.flatMap((label, axis) => (own.includes(label) ? [] : [axis]));
  return lacking.length === 0 ? x : b.unsqueeze(x, lacking);
}

/** Without the axes that only this operand has and nobody wants. */
function summed(
  b: NodeBuilder,
  { x, labels }: Term,
  output: readonly string[],
  others: readonly string[],
): Term {
  const wanted = (label: string) => output.includes(label) || others.includes(label);
  const axes = labels.flatMap((label, axis) => (wanted(label) ? [] : [axis]));
  if (axes.length === 0) return { x, labels };
  return { x: b.squeeze(b.reduce('ReduceSum', x, axes), axes), labels: labels.filter(wanted) };
}

function arranged(b: NodeBuilder, { x, labels }: Term, order: readonly string[]): string {
  const perm = order.map((label) => labels.indexOf(label));
  return perm.every((axis, i) => axis === i) ? x : b.transpose(x, perm);
}

interface Roles {
  readonly batch: readonly string[];
  readonly summed: readonly string[];
  readonly left: readonly string[];
  readonly right: readonly string[];
}

function rolesOf(left: Term, right: Term, output: readonly string[]): Roles {
  const shared = left.labels.filter((label) => right.labels.includes(label));
  return {
    batch: shared.filter((label) => output.includes(label)),
    summed: shared.filter((label) => !output.includes(label)),
    left: left.labels.filter((label) => !shared.includes(label)),
    right: right.labels.filter((label) => !shared.includes(label)),
  };
}

/** A linear map by a constant; undefined where the right side is none, or shares axes that stay. */
function toMatrix(b: NodeBuilder, left: Term, right: Term, output: readonly string[]): Term | undefined {
  const constant = b.initializer(right.x);
  const roles = rolesOf(left, right, output);
  if (!constant || roles.batch.length > 0 || roles.summed.length === 0) return undefined;
  const size = (labels: readonly string[]) =>
    labels.map((label) => constant.dims[right.labels.indexOf(label)] as number);
  const turned = transposeTensor(
    constant,
    [...roles.summed, ...roles.right].map((label) => right.labels.indexOf(label)),
  );
  const own = size(roles.right);
  const matrix = b.constant({ ...turned, dims: [elementCount(size(roles.summed)), elementCount(own)] });
  const rows = arranged(b, left, [...roles.left, ...roles.summed]);
  const kept = roles.left.map(() => 0);
  const flat = roles.summed.length === 1 ? rows : b.reshape(rows, [...kept, -1]);
  const y = b.op('MatMul', [flat, matrix]);
  const x = own.length === 1 ? y : b.reshape(y, [...kept, ...own]);
  return { x, labels: [...roles.left, ...roles.right] };
}

/** Between activations; undefined where more than one length would have to be inferred. */
function product(b: NodeBuilder, left: Term, right: Term, output: readonly string[]): Term | undefined {
  const roles = rolesOf(left, right, output);
  const lengthIn =
    ({ x, labels }: Term) =>
    (label: string) =>
      b.fixed(x, labels.indexOf(label));
  const a = folded(b, left, [roles.batch, roles.left, roles.summed], lengthIn(left));
  const c = folded(b, right, [roles.batch, roles.summed, roles.right], lengthIn(right));
  if (a === undefined || c === undefined) return undefined;
  const y = b.op('MatMul', [a, c]); // [batch..., left, right]
  const lengths = [
    ...roles.batch.map(() => 0),
    ...apart(roles.left, lengthIn(left), true),
    ...apart(roles.right, lengthIn(right), false),
  ];
  const labels = [...roles.batch, ...roles.left, ...roles.right];
  if (roles.left.length === 1 && roles.right.length === 1) return { x: y, labels };
  return lengths.filter((length) => length === -1).length > 1
    ? undefined
    : { x: b.reshape(y, lengths), labels };
}

/** Lengths to reshape a folded axis to; 0 copies the one axis behind the batch. */
function apart(
  labels: readonly string[],
  length: (label: string) => number | undefined,
  follows: boolean,
): number[] {
  if (labels.length === 1 && follows) return [0];
  return labels.map((label) => length(label) ?? -1);
}

/** [batch..., rows, columns], each of the last two folded from any number of axes. */
function folded(
  b: NodeBuilder,
  term: Term,
  [batch, rows, columns]: readonly [readonly string[], readonly string[], readonly string[]],
  length: (label: string) => number | undefined,
): string | undefined {
  const x = arranged(b, term, [...batch, ...rows, ...columns]);
  if (rows.length === 1 && columns.length === 1) return x;
  const size = (labels: readonly string[]) => {
    const lengths = labels.map(length);
    return lengths.includes(undefined) ? -1 : elementCount(lengths as number[]);
  };
  const shape = [...batch.map(() => 0), rows.length === 1 ? 0 : size(rows), size(columns)];
  return shape.filter((entry) => entry === -1).length > 1 ? undefined : b.reshape(x, shape);
}
