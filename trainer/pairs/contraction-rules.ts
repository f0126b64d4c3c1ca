/** How axes go through products that sum: MatMul, Gemm, Einsum, convolutions. They note what they contract for pair finding. */
import { parseEquation } from '../graph/einsum-equation.ts';
import { type GraphNode, intAttribute, stringAttribute } from '../graph/graph.ts';
import { type Axis, fixedSize } from './atoms.ts';
import { broadcast, COUNTS_HEADS, type Flow, type Rule } from './flow.ts';

export const contractionRules: Readonly<Record<string, Rule>> = {
  MatMul: matMul,
  Gemm: gemm,
  Einsum: einsum,
  Conv: convolution,
  ConvTranspose: transposedConvolution,
  Col2Im: transposedConvolution,
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

/** Labels stand for axes; two operands, none with a diagonal. */
function einsum(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] | undefined {
  const [a = '', b = '', more] = node.inputs;
  const operands = [a, b].map((value) => flow.axes(value, node));
  if (more !== undefined || b === '') return undefined;
  const { inputs, output } = parseEquation(
    stringAttribute(node, 'equation', ''),
    operands.map(({ length }) => length),
  );
  if ([...inputs, output].some((labels) => new Set(labels).size < labels.length)) return undefined;
  const known = new Map<string, Axis>();
  for (const [term, labels] of inputs.entries()) {
    for (const [i, label] of labels.entries()) {
      const axis = operands[term]?.[i] ?? [];
      const before = known.get(label);
      if (before) flow.atoms.unify(before, axis);
      if (!before || before.length === 0) known.set(label, axis);
    }
  }
  const axesOf = (wanted: (label: string) => boolean) =>
    [...known].filter(([label]) => wanted(label)).map(([, axis]) => axis);
  const inBoth = (label: string) => inputs.every((labels) => labels.includes(label));
  const summed = axesOf((label) => inBoth(label) && !output.includes(label)).flat();
  for (const axis of axesOf((label) => !inBoth(label) && !output.includes(label)))
    flow.atoms.pin(axis, 'is summed by Einsum');
  contract(flow, node, a, b, summed, {
    batch: axesOf((label) => inBoth(label) && output.includes(label)),
    others: axesOf((label) => !inBoth(label) && output.includes(label)),
  });
  return [output.map((label) => known.get(label) ?? [])];
}

/**
 * Channels are summed over neighbourhoods: not a map between two linears, so both sides stay whole. A depthwise convolution sums no
 * channels, but counts them in an attribute, which the levels of a path share.
 */
function convolution(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] | undefined {
  const [data = '', kernel = '', bias = ''] = node.inputs;
  const sizes = flow.sizes(node.outputs[0] ?? '');
  const input = flow.axes(data, node);
  const [output = [], channels = []] = flow.axes(kernel, node);
  if (!sizes) return undefined;
  const groups = intAttribute(node, 'group', 1);
  const reason =
    groups > 1 && fixedSize(flow.sizes(data)?.[1] ?? []) === groups
      ? 'passes a depthwise convolution, whose number of channels the graph fixes'
      : 'is mixed by Conv';
  if (groups === 1) flow.atoms.unify(input[1] ?? [], channels);
  if (bias !== '') flow.atoms.unify(output, flow.axes(bias, node)[0] ?? []);
  for (const axis of [...input.slice(1), output]) flow.atoms.pin(axis, reason);
  return [[input[0] ?? [], output, ...sizes.slice(2).map((size) => flow.atoms.axis(size, reason))]];
}

/** As a convolution; the output's channels are nobody's. */
function transposedConvolution(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] | undefined {
  const sizes = flow.sizes(node.outputs[0] ?? '');
  const reason = `is mixed by ${node.opType}`;
  const [batch = [], ...mixed] = flow.axes(node.inputs[0] ?? '', node);
  for (const axis of mixed) flow.atoms.pin(axis, reason);
  return sizes && [[batch, ...sizes.slice(1).map((size) => flow.atoms.axis(size, reason))]];
}
