/**
 * Writes a convolution with a kernel of one as what it is: a linear map of the channels, channels last.
 *
 *   [N, C, ...] -- Conv 1x1 -->   becomes   [N, C, ...] -- Transpose -- MatMul, Add -- Transpose -->
 *
 * It costs two transposes, so it is done only for those that a pair needs.
 */
import { type GraphNode, intAttribute, intsAttribute, type Tensor } from '../graph.ts';
import { transposeMatrix } from '../linear.ts';
import { type PlainForm, transposed } from './plain-form.ts';

export const pointwiseConvolution: PlainForm = (site) => {
  const { node } = site;
  const [input = '', kernel = '', bias = ''] = node.inputs;
  const weight = site.constant(kernel);
  if (!weight || !isPointwise(node, weight) || (bias !== '' && !site.constant(bias))) return false;
  const [outputs = 0, inputs = 0] = weight.dims;
  const axes = weight.dims.map((_, axis) => axis);
  const rows = site.add('Transpose', [input], transposed([0, ...axes.slice(2), 1]));
  const matrix = site.keep(transposeMatrix({ ...weight, dims: [outputs, inputs] }));
  const product = site.add('MatMul', [rows, matrix]);
  const sum = bias === '' ? product : site.add('Add', [product, bias]);
  return site.finish('Transpose', [sum], transposed([0, axes.length - 1, ...axes.slice(1, -1)]));
};

function isPointwise(node: GraphNode, { dtype, dims }: Tensor): boolean {
  const all = (name: string, value: number) =>
    (intsAttribute(node, name) ?? []).every((entry) => entry === value);
  return (
    dtype === 'float32' &&
    dims.slice(2).every((length) => length === 1) &&
    intAttribute(node, 'group', 1) === 1 &&
    all('strides', 1) &&
    all('pads', 0)
  );
}
