/** Linear maps as the exporters write them: MatMul with a constant matrix and perhaps an Add, or Gemm. */
import { derivedTensor } from './deferred.ts';
import { shapeOnlyValues } from './fold.ts';
import {
  consumers,
  elementCount,
  floatAttribute,
  type Graph,
  type GraphNode,
  intAttribute,
  type Tensor,
  type TensorData,
} from './graph.ts';

export interface Linear {
  readonly node: GraphNode;
  /** The Add behind a MatMul that brings the bias. */
  readonly add?: GraphNode;
  readonly input: string;
  readonly output: string;
  readonly weight: string;
  /** Axes of the weight. */
  readonly inAxis: 0 | 1;
  readonly outAxis: 0 | 1;
  /** Has the outputs along its last axis, all other axes of length 1. */
  readonly bias?: string;
}

/** All of a graph, in its order. */
export function findLinears(graph: Graph): Linear[] {
  const readers = consumers(graph);
  const shown = new Set(graph.outputs.map(({ name }) => name));
  let known: Set<string> | undefined;
  const shapeOnly = () => {
    known ??= shapeOnlyValues(graph);
    return known;
  };
  return graph.nodes.flatMap((node): Linear[] => {
    if (node.domain !== '') return [];
    if (node.opType === 'Gemm') return gemm(graph, node);
    if (node.opType !== 'MatMul') return [];
    const [input = '', weight = ''] = node.inputs;
    const [product = ''] = node.outputs;
    const matrix = graph.initializers.get(weight);
    if (!isMatrix(matrix) || graph.initializers.has(input)) return [];
    if (isOuterProduct(graph, node, weight) && shapeOnly().has(input)) return [];
    const base = { node, input, weight, inAxis: 0, outAxis: 1 } as const;
    const [add, ...more] = readers.get(product) ?? [];
    if (add?.opType === 'Add' && more.length === 0 && !shown.has(product)) {
      const bias = add.inputs.find((name) => name !== product) ?? '';
      if (isBias(graph.initializers.get(bias), matrix.dims[1] ?? 0))
        return [{ ...base, add, bias, output: add.outputs[0] ?? '' }];
    }
    return [{ ...base, output: product }];
  });
}

/** A column times a row: positions by frequencies, as the angles of rotary positions are computed. A table, where no input is in it. */
export function isOuterProduct(graph: Graph, { opType }: GraphNode, weight: string): boolean {
  const dims = graph.initializers.get(weight)?.dims;
  return opType === 'MatMul' && dims?.length === 2 && dims[0] === 1;
}

function gemm(graph: Graph, node: GraphNode): Linear[] {
  const [input = '', weight = '', bias = ''] = node.inputs;
  const matrix = graph.initializers.get(weight);
  if (!isMatrix(matrix) || graph.initializers.has(input)) return [];
  if (intAttribute(node, 'transA', 0) !== 0) return [];
  if (floatAttribute(node, 'alpha', 1) !== 1 || floatAttribute(node, 'beta', 1) !== 1) return [];
  const turned = intAttribute(node, 'transB', 0) !== 0;
  const outAxis = turned ? 0 : 1;
  if (bias !== '' && !isBias(graph.initializers.get(bias), matrix.dims[outAxis] ?? 0)) return [];
  return [
    {
      node,
      input,
      output: node.outputs[0] ?? '',
      weight,
      inAxis: turned ? 1 : 0,
      outAxis,
      ...(bias === '' ? {} : { bias }),
    },
  ];
}

function isMatrix(tensor: Tensor | undefined): tensor is Tensor {
  return tensor?.dtype === 'float32' && tensor.dims.length === 2;
}

function isBias(tensor: Tensor | undefined, width: number): boolean {
  return tensor?.dtype === 'float32' && elementCount(tensor.dims) === width && tensor.dims.at(-1) === width;
}

/** [a, b] to [b, a]. */
export function transposeMatrix(matrix: Tensor): Tensor {
  return transposeTensor(matrix, [1, 0]);
}

/** Output axis i is input axis `order[i]`. */
export function transposeTensor(tensor: Tensor, order: readonly number[]): Tensor {
  const to = order.map((axis) => tensor.dims[axis] ?? 1);
  return derivedTensor(tensor, to, (data) => transposedData(data, tensor.dims, order), {
    kind: 'transpose',
    order,
  });
}

function transposedData(data: TensorData, dims: readonly number[], order: readonly number[]): Float32Array {
  const strides = dims.map((_, axis) => elementCount(dims.slice(axis + 1)));
  const to = order.map((axis) => dims[axis] ?? 1);
  const steps = order.map((axis) => strides[axis] ?? 1);
  const turned = new Float32Array(data.length);
  const at = to.map(() => 0);
  let from = 0;
  for (let i = 0; i < turned.length; i++) {
    turned[i] = data[from] as number;
    for (let axis = to.length - 1; axis >= 0; axis--) {
      const step = steps[axis] ?? 0;
      at[axis] = (at[axis] ?? 0) + 1;
      from += step;
      if ((at[axis] ?? 0) < (to[axis] ?? 1)) break;
      from -= step * (to[axis] ?? 1);
      at[axis] = 0;
    }
  }
  return turned;
}
