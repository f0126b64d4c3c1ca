/**
 * How axes go through each operator. A rule ties its inputs' atoms together, pins those that cannot be cut, and returns the
 * axes of its outputs. To follow one more operator, add one entry; what has none pins all that it touches.
 */
import { type GraphNode, intAttribute, intsAttribute } from '../graph/graph.ts';
import { ELEMENTWISE } from '../graph/op-classes.ts';
import { type Axis, fixedSize, isOne, ratio } from './atoms.ts';
import { contractionRules } from './contraction-rules.ts';
import { broadcast, type Flow, input, positive, type Rule } from './flow.ts';
import { pieceRules } from './piece-rules.ts';

const rules: Readonly<Record<string, Rule>> = {
  ...contractionRules,
  ...pieceRules,
  Reshape: regroup,
  Squeeze: regroup,
  Unsqueeze: regroup,
  Flatten: regroup,
  Transpose: transpose,
  Expand: expand,
  Tile: expand,
  Pad: keepUnchanged,
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherNd,
  Shape: shape,
  Dropout: (flow, node) => [input(flow, node)],
  BatchNormalization: batchNormalization,
  InstanceNormalization: instanceNormalization,
  LayerNormalization: (flow, node) => normalise(flow, node, intAttribute(node, 'axis', -1)),
  RMSNormalization: (flow, node) => normalise(flow, node, intAttribute(node, 'axis', -1)),
  SimplifiedLayerNormalization: (flow, node) => normalise(flow, node, intAttribute(node, 'axis', -1)),
  Softmax: softmax,
  LogSoftmax: softmax,
  CumSum: (flow, node) => along(flow, node, flow.constant(node.inputs[1]), 'is summed up by CumSum'),
  ArgMax: (flow, node) => reduce(flow, node, [intAttribute(node, 'axis', 0)]),
  ArgMin: (flow, node) => reduce(flow, node, [intAttribute(node, 'axis', 0)]),
  AveragePool: keepUnchanged,
  MaxPool: keepUnchanged,
  LpPool: keepUnchanged,
  GlobalMaxPool: keepUnchanged,
  Resize: resize,
  GlobalAveragePool: keepUnchanged,
  Trilu: (flow, node) => along(flow, node, [-1, -2], 'is masked by Trilu'),
};

const REDUCTION = /^Reduce(Mean|Sum|SumSquare|Max|Min|Prod|L1|L2|LogSum|LogSumExp)$/;

/** Gives a node's outputs their axes. Operators of other domains than ONNX's own are not followed. */
export function applyRule(flow: Flow, node: GraphNode): void {
  const found = ruleFor(node)?.(flow, node);
  const reason = `meets ${node.opType}, which is not followed`;
  if (!found)
    for (const value of node.inputs) for (const axis of flow.axes(value, node)) flow.atoms.pin(axis, reason);
  for (const [i, output] of node.outputs.entries()) {
    if (output !== '') flow.set(output, found?.[i] ?? flow.unknown(output, reason));
  }
}

function ruleFor(node: GraphNode): Rule | undefined {
  if (node.domain !== '') return undefined;
  if (ELEMENTWISE.has(node.opType)) return elementwise;
  if (REDUCTION.test(node.opType))
    return (flow, reduction) =>
      reduce(flow, reduction, intsAttribute(reduction, 'axes') ?? flow.constant(reduction.inputs[1]));
  return rules[node.opType];
}

/** Aligned axes are the same, but for those that are broadcast. */
function elementwise(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] | undefined {
  const sizes = flow.sizes(node.outputs[0] ?? '');
  if (!sizes) return undefined;
  const operands = node.inputs.filter((name) => name !== '').map((name) => flow.axes(name, node));
  return [broadcast(flow, operands, sizes.length)];
}

/** Reshape and its kin: the same atoms, flattened, grouped by the output's lengths. */
function regroup(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] | undefined {
  const sizes = flow.sizes(node.outputs[0] ?? '');
  if (!sizes) return undefined;
  let rest: Axis = input(flow, node).flat();
  const axes: Axis[] = [];
  for (const size of sizes) {
    const taken = flow.atoms.takeFirst(rest, size);
    if (!taken) {
      const reason = `is regrouped by ${node.opType} across its boundaries`;
      flow.atoms.pin(rest, reason);
      return [[...axes, ...sizes.slice(axes.length).map((length) => flow.atoms.axis(length, reason))]];
    }
    axes.push(taken.first);
    rest = taken.rest;
  }
  return [axes];
}

function transpose(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] {
  const axes = input(flow, node);
  const perm = intsAttribute(node, 'perm') ?? axes.map((_, i) => axes.length - 1 - i);
  return [perm.map((axis) => axes[axis] ?? [])];
}

/** Expand and Tile: a repeated axis is (repeats x what it was). */
function expand(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] | undefined {
  const sizes = flow.sizes(node.outputs[0] ?? '');
  if (!sizes) return undefined;
  const axes = input(flow, node);
  return [
    sizes.map((size, axis) => {
      const had = axes[axis - sizes.length + axes.length] ?? [];
      return [...flow.atoms.axis(ratio(size, flow.atoms.length(had))), ...had];
    }),
  ];
}

/** Axes that keep their length pass; the others are pinned. */
function keepUnchanged(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] | undefined {
  const sizes = flow.sizes(node.outputs[0] ?? '');
  const axes = input(flow, node);
  const from = flow.sizes(node.inputs[0] ?? '');
  if (!sizes || !from || sizes.length !== from.length) return undefined;
  // Pooling moves windows along all axes behind the channels, also where lengths stay.
  const spatial = /^(Pad|Resize)$/.test(node.opType) ? sizes.length : 2;
  const reason = `is reshaped by ${node.opType}`;
  return [
    sizes.map((size, axis) => {
      if (axis < spatial && isOne(ratio(size, from[axis] ?? []))) return axes[axis] ?? [];
      flow.atoms.pin(axes[axis] ?? [], reason);
      return flow.atoms.axis(size, reason);
    }),
  ];
}

function gather(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] {
  const data = input(flow, node);
  const axis = positive(intAttribute(node, 'axis', 0), data.length);
  flow.atoms.pin(data[axis] ?? [], 'is looked up by Gather');
  return [[...data.slice(0, axis), ...input(flow, node, 1), ...data.slice(axis + 1)]];
}

/** Along one axis places are looked up, for each index of the others, which are the same in data and indices. */
function gatherElements(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] | undefined {
  const [data, indices] = [input(flow, node), input(flow, node, 1)];
  const axis = positive(intAttribute(node, 'axis', 0), data.length);
  const [from, at] = [flow.sizes(node.inputs[0] ?? ''), flow.sizes(node.inputs[1] ?? '')];
  const others = data.flatMap((_, i) => (i === axis ? [] : [i]));
  if (!from || !at || !others.every((i) => isOne(ratio(from[i] ?? [], at[i] ?? [])))) return undefined;
  flow.atoms.pin(data[axis] ?? [], 'is looked up by GatherElements');
  for (const i of others) flow.atoms.unify(data[i] ?? [], indices[i] ?? []);
  return [indices];
}

/** Leading axes are looked up, as many as an index has entries; those behind them pass. */
function gatherNd(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] | undefined {
  const [data, indices] = [input(flow, node), input(flow, node, 1)];
  const batch = intAttribute(node, 'batch_dims', 0);
  const depth = fixedSize(flow.sizes(node.inputs[1] ?? '')?.at(-1) ?? []);
  if (depth === undefined) return undefined;
  for (const axis of data.slice(batch, batch + depth)) flow.atoms.pin(axis, 'is looked up by GatherND');
  const shared = broadcast(flow, [data.slice(0, batch), indices.slice(0, batch)], batch);
  return [[...shared, ...indices.slice(batch, -1), ...data.slice(batch + depth)]];
}

/** Only what is read of a shape pins: behind Gather and Slice that is known. */
function shape(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] {
  const axes = input(flow, node);
  const output = node.outputs[0] ?? '';
  const start = positive(intAttribute(node, 'start', 0), axes.length);
  const end = Math.min(axes.length, positive(intAttribute(node, 'end', axes.length), axes.length));
  const all = axes.map((_, axis) => axis).slice(start, end);
  for (const reader of flow.readers.get(output) ?? []) {
    for (const axis of entriesRead(flow, reader, all))
      flow.atoms.pin(axes[axis] ?? [], 'has its length read by Shape');
  }
  return [flow.unknown(output, 'a shape')];
}

function entriesRead(flow: Flow, reader: GraphNode, all: readonly number[]): readonly number[] {
  const first = flow.constant(reader.inputs[1]);
  if (reader.opType === 'Gather' && first) return first.map((index) => all.at(index) ?? 0);
  const [end] = flow.constant(reader.inputs[2]) ?? [];
  const [step = 1] = reader.inputs[4] ? (flow.constant(reader.inputs[4]) ?? [0]) : [];
  if (reader.opType === 'Slice' && first && end !== undefined && step === 1)
    return all.slice(first[0] ?? 0, end);
  return all;
}

function batchNormalization(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] {
  const axes = input(flow, node);
  for (const index of [1, 2, 3, 4]) flow.atoms.unify(axes[1] ?? [], input(flow, node, index)[0] ?? []);
  return [axes];
}

/** Each channel by itself, over its positions. */
function instanceNormalization(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] {
  const axes = input(flow, node);
  for (const index of [1, 2]) flow.atoms.unify(axes[1] ?? [], input(flow, node, index)[0] ?? []);
  for (const axis of axes.slice(2)) flow.atoms.pin(axis, `is normalised over by ${node.opType}`);
  return [axes];
}

/** Channels pass where the output is scaled; sizes name their number, which levels share. */
function resize(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] | undefined {
  const isCounted = (node.inputs[3] ?? '') !== '' && intsAttribute(node, 'axes') === undefined;
  if (isCounted) flow.atoms.pin(input(flow, node)[1] ?? [], 'has its length given to Resize');
  return keepUnchanged(flow, node);
}

function normalise(flow: Flow, node: GraphNode, from: number): readonly (readonly Axis[])[] {
  const axes = input(flow, node);
  const first = positive(from, axes.length);
  for (const index of [1, 2])
    if (node.inputs[index]) broadcast(flow, [axes, input(flow, node, index)], axes.length);
  for (const axis of axes.slice(first)) flow.atoms.pin(axis, `is normalised over by ${node.opType}`);
  return [axes];
}

/** Before opset 13 everything from the axis on was one. */
function softmax(flow: Flow, node: GraphNode): readonly (readonly Axis[])[] {
  const axes = input(flow, node);
  const flat = (flow.graph.opsets[''] ?? 0) < 13;
  const first = positive(intAttribute(node, 'axis', flat ? 1 : -1), axes.length);
  for (const axis of flat ? axes.slice(first) : axes.slice(first, first + 1))
    flow.atoms.pin(axis, `is mixed by ${node.opType}`);
  return [axes];
}

/** Same shape, but elements along these axes see each other. */
function along(
  flow: Flow,
  node: GraphNode,
  given: readonly number[] | undefined,
  reason: string,
): readonly (readonly Axis[])[] | undefined {
  const axes = input(flow, node);
  if (!given) return undefined;
  for (const axis of given) flow.atoms.pin(axes.at(axis) ?? [], reason);
  return [axes];
}

/** What is masked with 0 adds nothing to these: their axes stay free, and are noted. */
const SUMS = new Set(['ReduceSum', 'ReduceSumSquare', 'ReduceL1', 'ReduceL2']);

/** @param given none: all axes */
function reduce(
  flow: Flow,
  node: GraphNode,
  given: readonly number[] | undefined,
): readonly (readonly Axis[])[] {
  const axes = input(flow, node);
  const none = given === undefined || given.length === 0;
  const reduced = new Set(none ? axes.keys() : given.map((axis) => positive(axis, axes.length)));
  for (const at of reduced) {
    const axis = axes[at] ?? [];
    if (SUMS.has(node.opType)) flow.reductions.push({ node, input: node.inputs[0] ?? '', axis });
    else flow.atoms.pin(axis, `is reduced by ${node.opType}`);
  }
  const kept = intAttribute(node, 'keepdims', 1) !== 0;
  return [axes.flatMap((own, axis) => (reduced.has(axis) ? (kept ? [[]] : []) : [own]))];
}
