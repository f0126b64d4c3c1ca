/** How axes go through Slice and Concat: an axis that is cut into equal pieces is (pieces x piece), and pieces keep their atoms. */
import { type GraphNode, intAttribute } from '../graph/graph.ts';
import { type Axis, fixedSize, isOne, ratio } from './atoms.ts';
import { broadcast, type Flow, input, positive, type Rule } from './flow.ts';

export const pieceRules: Readonly<Record<string, Rule>> = { Slice: slice, Concat: concat };

/**
 * Equal pieces: the axis is (pieces x piece), and pieces keep their atoms; which piece it is cannot be cut. Where it begins may be
 * computed (chunks of a sequence): then that axis alone is pinned.
 */
function slice(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] | undefined {
  const axes = [...input(flow, node)];
  const sizes = flow.sizes(node.outputs[0] ?? '');
  const starts = flow.constant(node.inputs[1]);
  const along = node.inputs[3] ? flow.constant(node.inputs[3]) : starts?.map((_, i) => i);
  const steps = node.inputs[4] ? flow.constant(node.inputs[4]) : along?.map(() => 1);
  if (!sizes || !along) return undefined;
  for (const [i, given] of along.entries()) {
    const axis = positive(given, axes.length);
    const from = flow.sizes(node.inputs[0] ?? '')?.[axis] ?? [];
    const to = sizes[axis] ?? [];
    const [start, step] = [starts?.[i], steps?.[i]];
    if (step === 1 && isOne(ratio(from, to))) continue;
    const taken =
      start === undefined || step === undefined
        ? undefined
        : piece(flow, axes[axis] ?? [], fixedSize(from), fixedSize(to), start, step);
    if (!taken) flow.atoms.pin(axes[axis] ?? [], 'is cut by Slice into unequal parts');
    axes[axis] = taken ?? flow.atoms.axis(to, 'is cut by Slice into unequal parts');
  }
  return [axes];
}

function piece(
  flow: Flow,
  axis: Axis,
  length: number | undefined,
  taken: number | undefined,
  given: number,
  step: number,
): Axis | undefined {
  if (length === undefined || taken === undefined || taken === 0 || step < 1) return undefined;
  const start = given < 0 ? given + length : given;
  if (start < 0) return undefined;
  if (step > 1) {
    const parts = taken * step === length && start < step ? split(flow, axis, length, step) : undefined;
    if (parts) flow.atoms.pin(parts.inner, 'is picked apart by Slice');
    return parts?.outer;
  }
  const grain = greatestDivisor(greatestDivisor(start, taken), length);
  const parts = grain > 1 ? split(flow, axis, length, grain) : undefined;
  if (!parts) return undefined;
  flow.atoms.pin(parts.outer, 'is picked apart by Slice');
  return [
    ...flow.atoms.axis(constantSize(flow, axis, taken / grain), 'is picked apart by Slice'),
    ...parts.inner,
  ];
}

/** The axis as (outer x inner). */
function split(
  flow: Flow,
  axis: Axis,
  length: number,
  inner: number,
): { outer: Axis; inner: Axis } | undefined {
  const parts = flow.atoms.takeFirst(axis, constantSize(flow, axis, length / inner));
  return parts && { outer: parts.first, inner: parts.rest };
}

function constantSize(flow: Flow, axis: Axis, length: number): number[] {
  return flow.atoms.length(axis).map(() => length);
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

/** The counterpart of `slice`: equal pieces make (pieces x piece). */
function concat(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] | undefined {
  const sizes = flow.sizes(node.outputs[0] ?? '');
  if (!sizes) return undefined;
  const axis = positive(intAttribute(node, 'axis', 0), sizes.length);
  const operands = node.inputs.map((name) => flow.axes(name, node));
  const axes = broadcast(
    flow,
    operands.map((operand) => operand.map((own, i) => (i === axis ? [] : own))),
    sizes.length,
  );
  const joined = operands.map((operand) => operand[axis] ?? []);
  const lengths = node.inputs.map((name) => fixedSize(flow.sizes(name)?.[axis] ?? []));
  const grain = lengths.reduce<number>((divisor, length) => greatestDivisor(divisor, length ?? 1), 0);
  const pieces =
    grain > 1
      ? joined.map((own, i) => split(flow, own, lengths[i] ?? 0, grain))
      : joined.map(() => undefined);
  const total = sizes[axis] ?? [];
  if (node.inputs.length === 1) axes[axis] = joined[0] ?? [];
  else if (pieces.some((parts) => parts === undefined)) {
    for (const own of joined) flow.atoms.pin(own, 'is joined by Concat with something else');
    axes[axis] = flow.atoms.axis(total, 'is joined by Concat');
  } else {
    const [first] = pieces;
    for (const parts of pieces) {
      flow.atoms.pin(parts?.outer ?? [], 'is joined by Concat');
      flow.atoms.unify(first?.inner ?? [], parts?.inner ?? []);
    }
    axes[axis] = [
      ...flow.atoms.axis(
        ratio(
          total,
          total.map(() => grain),
        ),
        'is joined by Concat',
      ),
      ...(first?.inner ?? []),
    ];
  }
  return [axes];
}
