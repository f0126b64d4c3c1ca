/** How axes go through products that sum: MatMul, Gemm, Einsum, Conv. They note what they contract for pair finding. */
import { type GraphNode, intAttribute, stringAttribute } from '../graph/graph.ts';
import type { Axis } from './atoms.ts';
import { broadcast, COUNTS_HEADS, type Flow, type Rule } from './flow.ts';

export const contractionRules: Readonly<Record<string, Rule>> = {
  MatMul: matMul,
  Gemm: gemm,
  Einsum: einsum,
  Conv: convolution,
};

function matMul(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] | undefined {
  const [left = '', right = ''] = node.inputs;
  const a = flow.axes(left, node);
  const b = flow.axes(right, node);
  if (a.length < 2 || b.length < 2) return undefined;
  const summed = a.at(-1) ?? [];
  flow.atoms.unify(summed, b.at(-2) ?? []);
  const rank = Math.max(a.length, b.length) - 2;
  const batch = broadcast(flow, [a.slice(0, -2), b.slice(0, -2)], rank);
  const others = [a.at(-2) ?? [], b.at(-1) ?? []];
  // Against a plain matrix the leading axes are rows like any other.
  contract(flow, node, left, right, summed, b.length > 2 ? { batch, others } : { batch: [], others });
  return [[...batch, ...others]];
}

/** Notes a contraction, and pins what both operands run along: attention heads, and whatever else is batched. */
function contract(
  flow: Flow,
  node: GraphNode,
  left: string,
  right: string,
  axis: Axis,
  { batch, others }: { batch: readonly Axis[]; others: readonly Axis[] },
): void {
  const betweenActivations = !flow.isConstant(left) && !flow.isConstant(right);
  for (const along of batch) flow.atoms.pin(along, COUNTS_HEADS);
  flow.contractions.push({ node, left, right, axis, free: [...batch, ...others], betweenActivations });
}

function gemm(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] {
  const [left = '', right = '', bias = ''] = node.inputs;
  const a = flow.axes(left, node);
  const b = flow.axes(right, node);
  const [row = [], summed = []] = intAttribute(node, 'transA', 0) ? a.toReversed() : a;
  const [other = [], column = []] = intAttribute(node, 'transB', 0) ? b.toReversed() : b;
  flow.atoms.unify(summed, other);
  contract(flow, node, left, right, summed, { batch: [], others: [row, column] });
  const output = [row, column];
  if (bias !== '') broadcast(flow, [output, flow.axes(bias, node)], 2);
  return [output];
}

/** Letters stand for axes; two operands, one summed letter, no ellipsis. */
function einsum(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] | undefined {
  const equation = stringAttribute(node, 'equation', '').replaceAll(' ', '');
  const [, left, right, output] = /^([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]+)$/.exec(equation) ?? [];
  if (!left || !right || output === undefined) return undefined;
  const letters = new Map<string, Axis>();
  const [a = '', b = ''] = node.inputs;
  for (const [term, value] of [
    [left, a],
    [right, b],
  ] as const) {
    for (const [i, letter] of [...term].entries()) {
      const axis = flow.axes(value, node)[i] ?? [];
      const known = letters.get(letter);
      if (known) flow.atoms.unify(known, axis);
      if (!known || known.length === 0) letters.set(letter, axis);
    }
  }
  const axesOf = (wanted: (letter: string) => boolean) =>
    [...letters].filter(([letter]) => wanted(letter)).map(([, axis]) => axis);
  const inBoth = (letter: string) => left.includes(letter) && right.includes(letter);
  const summed = axesOf((letter) => inBoth(letter) && !output.includes(letter)).flat();
  for (const axis of axesOf((letter) => !inBoth(letter) && !output.includes(letter)))
    flow.atoms.pin(axis, 'is summed by Einsum');
  contract(flow, node, a, b, summed, {
    batch: axesOf((letter) => inBoth(letter) && output.includes(letter)),
    others: axesOf((letter) => !inBoth(letter) && output.includes(letter)),
  });
  return [[...output].map((letter) => letters.get(letter) ?? [])];
}

/** Channels are summed over neighbourhoods: not a map between two linears, so both sides stay whole. */
function convolution(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] | undefined {
  const [data = '', kernel = '', bias = ''] = node.inputs;
  const sizes = flow.sizes(node.outputs[0] ?? '');
  const input = flow.axes(data, node);
  const [output = [], channels = []] = flow.axes(kernel, node);
  if (!sizes) return undefined;
  const reason = 'is mixed by Conv';
  if (intAttribute(node, 'group', 1) === 1) flow.atoms.unify(input[1] ?? [], channels);
  if (bias !== '') flow.atoms.unify(output, flow.axes(bias, node)[0] ?? []);
  for (const axis of [...input.slice(1), output]) flow.atoms.pin(axis, reason);
  return [[input[0] ?? [], output, ...sizes.slice(2).map((size) => flow.atoms.axis(size, reason))]];
}
