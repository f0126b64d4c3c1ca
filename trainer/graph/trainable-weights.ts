/**
 * Which of a graph's constants are weights that training would change: an ONNX file does not say. Told by what reads them: matrices of
 * linear maps and convolutions, tables that are looked up and added, vectors that scale or shift. Masks, rotary tables and
 * frequencies, epsilons and running statistics are none.
 */
import { consumers, elementCount, type Graph, type GraphNode, intAttribute, type Tensor } from './graph.ts';

/** Nothing trained is as low as what hides attention scores. */
const HIDES = -1e4;

/** Which inputs hold weights, by op type; others have rules below. */
const positions: Readonly<Record<string, readonly number[]>> = {
  MatMul: [0, 1],
  FusedMatMul: [0, 1],
  Gemm: [0, 1, 2],
  Conv: [1, 2],
  ConvTranspose: [1, 2],
  LayerNormalization: [1, 2],
  SimplifiedLayerNormalization: [1],
  RMSNormalization: [1],
  BatchNormalization: [1, 2],
  InstanceNormalization: [1, 2],
  GroupNormalization: [1, 2],
  PRelu: [1],
};

const CARRIES = new Set([
  'Reshape',
  'Transpose',
  'Unsqueeze',
  'Squeeze',
  'Identity',
  'Cast',
  'Slice',
  'Expand',
]);

/** @returns names of float32 initializers, in the graph's order */
export function trainableWeights(graph: Graph): string[] {
  const readers = consumers(graph);
  const angles = beforeAngles(graph);
  return [...graph.initializers]
    .filter(([name, tensor]) => {
      if (tensor.dtype !== 'float32' || elementCount(tensor.dims) < 2 || angles.has(name)) return false;
      return isRead(name, tensor, readers);
    })
    .map(([name]) => name);
}

function isRead(value: string, tensor: Tensor, readers: ReadonlyMap<string, readonly GraphNode[]>): boolean {
  return (readers.get(value) ?? []).some((node) => {
    const index = node.inputs.indexOf(value);
    if (CARRIES.has(node.opType)) return index === 0 && isRead(node.outputs[0] ?? '', tensor, readers);
    if (positions[node.opType]?.includes(index)) return true;
    // Tokens that are put before those of the input.
    if (node.opType === 'Concat') return tensor.dims.length > 1;
    if (node.opType === 'Gather') return isTable(node, index) && isAdded(node.outputs[0] ?? '', readers);
    if (node.opType === 'Add' || node.opType === 'Sub')
      return (tensor.data as Float32Array).every((entry) => entry > HIDES);
    return node.opType === 'Mul' && tensor.dims.length === 1;
  });
}

function isTable(node: GraphNode, index: number): boolean {
  return index === 0 && intAttribute(node, 'axis', 0) === 0;
}

/** Looked-up rotary tables are multiplied; embeddings are anything but only multiplied. */
function isAdded(value: string, readers: ReadonlyMap<string, readonly GraphNode[]>): boolean {
  return (readers.get(value) ?? []).some((node) =>
    CARRIES.has(node.opType) ? isAdded(node.outputs[0] ?? '', readers) : node.opType !== 'Mul',
  );
}

/** All values that a sine or cosine depends on. */
function beforeAngles({ nodes }: Graph): Set<string> {
  const before = new Set<string>();
  for (const { opType, inputs, outputs } of nodes.toReversed())
    if (opType === 'Sin' || opType === 'Cos' || outputs.some((output) => before.has(output)))
      for (const input of inputs) before.add(input);
  return before;
}
