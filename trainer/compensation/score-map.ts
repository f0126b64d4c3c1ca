/** The linear map that makes a model's scores: refitted with the output matrices, although it belongs to no pair. */
import {
  consumers,
  elementCount,
  floatAttribute,
  type Graph,
  type GraphNode,
  intAttribute,
  producers,
} from '../graph/graph.ts';
import type { LinearMap } from '../pairs/pair.ts';

/** Of the model's parameters: a level gets a matrix of its own, which a vocabulary's would make as large as the rest. */
const MOST_SHARE = 0.1;

/** What turns scores into probabilities, or only into another shape. */
const READ_OFF = new Set(['Softmax', 'LogSoftmax', 'Sigmoid', 'Identity', 'Squeeze', 'Reshape', 'Flatten']);

/** The map behind a task whose only answer is scores. */
export function scoreMap(
  graph: Graph,
  { parts }: { readonly parts: readonly { readonly output: string; readonly meaning: string }[] },
): LinearMap | undefined {
  const [only, ...others] = parts;
  return only?.meaning === 'scores' && others.length === 0 ? outputMap(graph, only.output) : undefined;
}

/**
 * The MatMul or Gemm, and the bias behind it, whose result is `output` or what is only read off it, unless its matrix is also used elsewhere (tied
 * embeddings) or is more than a tenth of the model.
 */
function outputMap(graph: Graph, output: string): LinearMap | undefined {
  const makers = producers(graph);
  const maker = makers.get(output);
  const [scores = ''] = maker?.inputs ?? [];
  if (maker !== undefined && READ_OFF.has(maker.opType) && usesOf(graph, scores) === 1)
    return outputMap(graph, scores);
  if (maker?.opType === 'Gemm') return mapOf(graph, maker, output, maker.inputs[2]);
  if (maker?.opType === 'MatMul') return mapOf(graph, maker, output, undefined);
  if (maker?.opType !== 'Add') return undefined;
  const bias = maker.inputs.find((input) => graph.initializers.has(input));
  const between = maker.inputs.find((input) => input !== bias) ?? '';
  const product = makers.get(between);
  if (bias === undefined || product?.opType !== 'MatMul' || usesOf(graph, between) !== 1) return undefined;
  return mapOf(graph, product, output, bias);
}

/** Initializers of the map that a level may own. */
export function mapTensors({ weight, bias }: LinearMap): string[] {
  return [weight.tensor, ...(bias === undefined ? [] : [bias.tensor])];
}

function mapOf(
  graph: Graph,
  node: GraphNode,
  output: string,
  bias: string | undefined,
): LinearMap | undefined {
  const [input = '', weight = ''] = node.inputs;
  const dims = graph.initializers.get(weight)?.dims ?? [];
  if (dims.length !== 2 || graph.initializers.has(input) || !plainGemm(node)) return undefined;
  const all = [...graph.initializers.values()].reduce((sum, tensor) => sum + elementCount(tensor.dims), 0);
  if (elementCount(dims) > MOST_SHARE * all || usesOf(graph, weight) !== 1) return undefined;
  const inAxis = intAttribute(node, 'transB', 0) === 1 ? 1 : 0;
  const biasDims = bias === undefined ? [] : (graph.initializers.get(bias)?.dims ?? []);
  // One number for all scores is no bias that could be changed for each.
  const each = biasDims.length === 1 && biasDims[0] === dims[1 - inAxis];
  const privateBias = bias !== undefined && usesOf(graph, bias) === 1 && each;
  return {
    node: node.name,
    weight: { tensor: weight, axis: inAxis, outer: 1, inner: 1 },
    otherAxis: 1 - inAxis,
    ...(privateBias ? { bias: { tensor: bias, axis: -1, outer: 1, inner: 1 } } : {}),
    input,
    output,
  };
}

function plainGemm(node: GraphNode): boolean {
  const factors = [floatAttribute(node, 'alpha', 1), floatAttribute(node, 'beta', 1)];
  return intAttribute(node, 'transA', 0) === 0 && factors.every((factor) => factor === 1);
}

const usesOf = (graph: Graph, name: string) => consumers(graph).get(name)?.length ?? 0;
