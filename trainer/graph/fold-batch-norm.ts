/**
 * Multiplies a batch normalisation into the linear map or the convolution that it follows, where nothing but layout lies between.
 * What is fused before it can then be taken apart, and the graph has one operator less to run.
 *
 *   y = (W x + b - mean) * scale / sqrt(variance + epsilon) + bias   becomes   y = W' x + b'
 */
import { derivedTensor } from './deferred.ts';
import {
  consumers,
  elementCount,
  floatAttribute,
  type Graph,
  type GraphNode,
  intAttribute,
  producers,
  type Tensor,
} from './graph.ts';
import { applyLayout, type IndexTensor, lastAxisIndices } from './index-tensor.ts';
import { findLinears, type Linear } from './linear.ts';
import { LAYOUT } from './op-classes.ts';
import { draftOf, rename, withoutDeadCode } from './rewrite.ts';
import type { Trace } from './traces.ts';

/** ONNX's default. */
const EPSILON = 1e-5;

/** y = factor * x + offset, by channel. */
interface Affine {
  readonly factor: Float64Array;
  readonly offset: Float64Array;
}

/** What makes the channels: its weight with their axis, and the node that brings the bias, if one does. */
interface Maker {
  readonly node: GraphNode;
  readonly weight: string;
  readonly outAxis: number;
  readonly biasReader?: GraphNode;
  readonly bias?: string;
}

/** @param trace shows the graph's shapes at one size */
export function foldBatchNorms(graph: Graph, trace: Trace): Graph {
  const makers = producers(graph);
  const readers = consumers(graph);
  const linears = new Map(findLinears(graph).map((linear) => [linear.output, linear]));
  const shown = new Set(graph.outputs.map(({ name }) => name));
  const folds = new Map<GraphNode, { maker: Maker; affine: Affine }>();
  const renamed = new Map<string, string>();
  for (const node of graph.nodes) {
    const affine = node.opType === 'BatchNormalization' ? affineOf(graph, node) : undefined;
    const [input = ''] = node.inputs;
    const [output = ''] = node.outputs;
    if (!affine || shown.has(output) || node.outputs.slice(1).some((name) => name !== '')) continue;
    const path: GraphNode[] = [];
    let value = input;
    // Whoever only asks for its shape sees no difference.
    const alone = (name: string) =>
      !shown.has(name) && readers.get(name)?.filter(({ opType }) => opType !== 'Shape').length === 1;
    for (let maker = makers.get(value); alone(value) && maker; maker = makers.get(value)) {
      if (linears.has(value) || !LAYOUT.has(maker.opType)) break;
      path.unshift(maker);
      value = maker.inputs[0] ?? '';
    }
    const linear = linears.get(value);
    const maker = linear ? ofLinear(linear) : ofConvolution(graph, makers.get(value));
    if (!maker || !alone(value) || folds.has(maker.node)) continue;
    if (linear ? !channelsAreColumns(trace, value, path) : path.length > 0) continue;
    folds.set(maker.node, { maker, affine });
    renamed.set(output, input);
  }
  if (folds.size === 0) return graph;
  return rebuilt(graph, folds, renamed);
}

function rebuilt(
  graph: Graph,
  folds: ReadonlyMap<GraphNode, { maker: Maker; affine: Affine }>,
  renamed: ReadonlyMap<string, string>,
): Graph {
  const draft = draftOf(graph);
  const biases = new Map<GraphNode, { from: string; to: string }>();
  for (const node of graph.nodes) {
    const fold = folds.get(node);
    const bias = biases.get(node);
    if (bias)
      draft.nodes.push({ ...node, inputs: node.inputs.map((name) => (name === bias.from ? bias.to : name)) });
    if (!fold) {
      if (!bias && !renamed.has(node.outputs[0] ?? '')) draft.nodes.push(node);
      continue;
    }
    const { maker, affine } = fold;
    const source = graph.initializers.get(maker.weight) as Tensor;
    const weight = draft.constant(
      `${maker.weight}_scaled`,
      scaledAlong(source, maker.outAxis, affine.factor),
    );
    const old = maker.bias === undefined ? undefined : graph.initializers.get(maker.bias);
    const offset = draft.constant(`${maker.weight}_offset`, movedBias(old, affine));
    const inputs = node.inputs.map((name) => (name === maker.weight ? weight : name));
    if (maker.bias !== undefined && maker.biasReader && maker.biasReader !== node) {
      biases.set(maker.biasReader, { from: maker.bias, to: offset });
      draft.nodes.push({ ...node, inputs });
    } else if (node.opType === 'MatMul') {
      const product = draft.fresh(`${node.name}_scaled`);
      draft.nodes.push({ ...node, inputs, outputs: [product] });
      const name = draft.fresh(`${node.name}_offset`);
      draft.nodes.push({
        name,
        opType: 'Add',
        domain: '',
        inputs: [product, offset],
        outputs: node.outputs,
        attributes: {},
      });
    } else draft.nodes.push({ ...node, inputs: [inputs[0] ?? '', weight, offset] });
  }
  const { initializers } = draft;
  return withoutDeadCode({ ...graph, nodes: rename(draft.nodes, renamed), initializers });
}

function affineOf(graph: Graph, node: GraphNode): Affine | undefined {
  if (node.domain !== '' || intAttribute(node, 'training_mode', 0) !== 0) return undefined;
  const [scale, bias, mean, variance] = node.inputs
    .slice(1, 5)
    .map((name) => graph.initializers.get(name)?.data);
  if (!scale || !bias || !mean || !variance) return undefined;
  const epsilon = floatAttribute(node, 'epsilon', EPSILON);
  const at = (data: Tensor['data'], i: number) => Number(data[i]);
  const factor = Float64Array.from(
    scale as Float32Array,
    (value, i) => Number(value) / Math.sqrt(at(variance, i) + epsilon),
  );
  return { factor, offset: factor.map((value, i) => at(bias, i) - at(mean, i) * value) };
}

function ofLinear({ node, add, weight, outAxis, bias }: Linear): Maker {
  const base = { node, weight, outAxis };
  return bias === undefined ? base : { ...base, bias, biasReader: add ?? node };
}

function ofConvolution(graph: Graph, node: GraphNode | undefined): Maker | undefined {
  const [, weight = '', bias = ''] = node?.inputs ?? [];
  if (node?.opType !== 'Conv' || node.domain !== '' || graph.initializers.get(weight)?.dtype !== 'float32')
    return undefined;
  if (bias !== '' && !graph.initializers.has(bias)) return undefined;
  return { node, weight, outAxis: 0, ...(bias === '' ? {} : { bias, biasReader: node }) };
}

/** Whether axis 1 behind the layout operators runs over the linear's columns. */
function channelsAreColumns(trace: Trace, value: string, path: readonly GraphNode[]): boolean {
  const dims = trace.dims.get(value);
  if (!dims) return false;
  let columns: IndexTensor = lastAxisIndices(dims);
  for (const node of path) {
    const to = trace.dims.get(node.outputs[0] ?? '');
    if (!to) return false;
    columns = applyLayout(node, columns, to);
  }
  const inner = columns.dims.slice(2).reduce((a, b) => a * b, 1);
  const channels = columns.dims[1] ?? 1;
  return columns.data.every((column, i) => column === Math.floor(i / inner) % channels);
}

function scaledAlong(tensor: Tensor, axis: number, factor: Float64Array): Tensor {
  const inner = elementCount(tensor.dims.slice(axis + 1));
  return derivedTensor(tensor, tensor.dims, (data) =>
    Float32Array.from(data as Float32Array, (value, i) => {
      return value * (factor[Math.floor(i / inner) % factor.length] as number);
    }),
  );
}

function movedBias(bias: Tensor | undefined, { factor, offset }: Affine): Tensor {
  const data = Float32Array.from(
    offset,
    (value, i) => value + Number(bias?.data[i] ?? 0) * (factor[i] as number),
  );
  return { dtype: 'float32', dims: [data.length], data };
}
