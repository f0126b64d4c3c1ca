/**
 * Writes convolutions with a kernel of one as what they are: a linear map of the channels, channels last.
 *
 *   [N, C, ...] -- Conv 1x1 -->   becomes   [N, C, ...] -- Transpose -- MatMul, Add -- Transpose -->
 *
 * It costs two transposes, so it is done only for those that a pair needs.
 */
import { type Graph, type GraphNode, intAttribute, intsAttribute, type Tensor } from './graph.ts';
import { draftOf, withoutDeadCode } from './rewrite.ts';

/** Names of the nodes that are pointwise, ungrouped and have a constant kernel. */
export function pointwiseConvolutions(graph: Graph): string[] {
  return graph.nodes.filter((node) => isPointwise(graph, node)).map(({ name }) => name);
}

function isPointwise(graph: Graph, node: GraphNode): boolean {
  const kernel = graph.initializers.get(node.inputs[1] ?? '');
  const bias = node.inputs[2];
  const all = (name: string, value: number) =>
    (intsAttribute(node, name) ?? []).every((entry) => entry === value);
  return (
    node.opType === 'Conv' &&
    node.domain === '' &&
    kernel?.dtype === 'float32' &&
    kernel.dims.slice(2).every((length) => length === 1) &&
    intAttribute(node, 'group', 1) === 1 &&
    all('strides', 1) &&
    all('pads', 0) &&
    (!bias || graph.initializers.has(bias))
  );
}

/** What the MatMul is called that stands for a convolution. */
export function linearName(convolution: string): string {
  return `${convolution}_linear`;
}

/** @param names of pointwise convolutions, see above */
export function linearConvolutions(graph: Graph, names: ReadonlySet<string>): Graph {
  if (names.size === 0) return graph;
  const draft = draftOf(graph);
  for (const node of graph.nodes) {
    const [input = '', kernel = '', bias = ''] = node.inputs;
    const weight = graph.initializers.get(kernel);
    if (!names.has(node.name) || !weight) {
      draft.nodes.push(node);
      continue;
    }
    const axes = weight.dims.map((_, axis) => axis);
    const last = [0, ...axes.slice(2), 1];
    const first = [0, axes.length - 1, ...axes.slice(1, -1)];
    const matrix = draft.constant(`${kernel}_matrix`, matrixOf(weight));
    const rows = draft.add('Transpose', [input], `${node.name}_last`, {
      perm: { kind: 'ints', value: last },
    });
    const product = draft.add('MatMul', [rows, matrix], linearName(node.name));
    const sum = bias === '' ? product : draft.add('Add', [product, bias], `${node.name}_bias`);
    draft.nodes.push({
      ...node,
      opType: 'Transpose',
      inputs: [sum],
      attributes: { perm: { kind: 'ints', value: first } },
    });
  }
  return withoutDeadCode({ ...graph, nodes: draft.nodes, initializers: draft.initializers });
}

/** [out, in, 1, ...] as [in, out]. */
function matrixOf({ dims, data }: Tensor): Tensor {
  const [outputs = 0, inputs = 0] = dims;
  const turned = new Float32Array(data.length);
  for (let o = 0; o < outputs; o++)
    for (let i = 0; i < inputs; i++) turned[i * outputs + o] = Number(data[o * inputs + i]);
  return { dtype: 'float32', dims: [inputs, outputs], data: turned };
}
