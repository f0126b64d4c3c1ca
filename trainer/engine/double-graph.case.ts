/**
 * A graph in float64, for central differences that float32 would drown in rounding. onnxruntime has kernels of doubles for most
 * operators; error functions and convolutions into patches are written out in others that it has.
 */
import {
  type Attribute,
  type Graph,
  type GraphNode,
  intsAttribute,
  stringAttribute,
  type Tensor,
} from '../graph/graph.ts';
import { type Draft, draftOf, int64 } from '../graph/rewrite.ts';

const FLOAT = 1;
const DOUBLE = 11;
/** Beyond it erf counts as constant: 1 - erf(4) is 1.5e-8, far below what is checked. */
const ERF_END = 4;
const ERF_TERMS = 80;

const ints = (value: number[]): Attribute => ({ kind: 'ints', value });

export function toDouble(graph: Graph): Graph {
  const draft = draftOf(graph);
  for (const [name, tensor] of graph.initializers) draft.initializers.set(name, widened(tensor));
  for (const node of graph.nodes) draft.nodes.push(...doubled(draft, node, graph));
  const info = <T extends { dtype: string }>(each: T) =>
    each.dtype === 'float32' ? { ...each, dtype: 'float64' as const } : each;
  return {
    ...graph,
    inputs: graph.inputs.map(info),
    outputs: graph.outputs.map(info),
    nodes: draft.nodes,
    initializers: draft.initializers,
  };
}

export function widened(tensor: Tensor): Tensor {
  if (tensor.dtype !== 'float32') return tensor;
  return { dtype: 'float64', dims: tensor.dims, data: Float64Array.from(tensor.data as Float32Array) };
}

/** The nodes that stand for one; those added on the way go to the draft before them. */
function doubled(draft: Draft, node: GraphNode, graph: Graph): GraphNode[] {
  const [x = ''] = node.inputs;
  const ends = (value: string): GraphNode[] => [
    { ...node, opType: 'Identity', domain: '', inputs: [value], attributes: {} },
  ];
  if (node.opType === 'Erf') return ends(erf(draft, x));
  if (node.opType === 'Gelu')
    return ends(
      stringAttribute(node, 'approximate', 'none') === 'tanh' ? geluTanh(draft, x) : gelu(draft, x),
    );
  if (node.opType === 'Conv') return ends(patches(draft, node, graph));
  const attributes = Object.entries(node.attributes).map(([name, attribute]): [string, Attribute] => {
    if (name === 'to' && attribute.kind === 'int' && attribute.value === FLOAT)
      return [name, { kind: 'int', value: DOUBLE }];
    return [
      name,
      attribute.kind === 'tensor' ? { ...attribute, value: widened(attribute.value) } : attribute,
    ];
  });
  return [{ ...node, attributes: Object.fromEntries(attributes) }];
}

const scalar = (draft: Draft, value: number) =>
  draft.constant('double', { dtype: 'float64', dims: [], data: Float64Array.of(value) });
const add = (draft: Draft, opType: string, ...inputs: string[]) =>
  draft.add(opType, inputs, `double_${opType}`);

/** 2 / sqrt(pi) exp(-x^2) x sum of (2 x^2)^n / (2n + 1)!!: all terms of one sign. */
function erf(draft: Draft, x: string): string {
  const within = add(draft, 'Clip', x, scalar(draft, -ERF_END), scalar(draft, ERF_END));
  const square = add(draft, 'Mul', within, within);
  const one = scalar(draft, 1);
  let sum = one;
  for (let n = ERF_TERMS; n > 0; n--) {
    const ratio = add(draft, 'Mul', square, scalar(draft, 2 / (2 * n + 1)));
    sum = add(draft, 'Add', one, add(draft, 'Mul', ratio, sum));
  }
  const bell = add(draft, 'Exp', add(draft, 'Neg', square));
  const scaled = add(draft, 'Mul', within, scalar(draft, 2 / Math.sqrt(Math.PI)));
  return add(draft, 'Mul', add(draft, 'Mul', scaled, bell), sum);
}

function gelu(draft: Draft, x: string): string {
  const inner = erf(draft, add(draft, 'Mul', x, scalar(draft, Math.SQRT1_2)));
  return half(draft, x, inner);
}

function geluTanh(draft: Draft, x: string): string {
  const cube = add(draft, 'Mul', x, add(draft, 'Mul', x, x));
  const bent = add(draft, 'Add', x, add(draft, 'Mul', cube, scalar(draft, 0.044715)));
  return half(draft, x, add(draft, 'Tanh', add(draft, 'Mul', bent, scalar(draft, Math.sqrt(2 / Math.PI)))));
}

/** x (1 + s) / 2 */
function half(draft: Draft, x: string, s: string): string {
  const share = add(draft, 'Mul', add(draft, 'Add', s, scalar(draft, 1)), scalar(draft, 0.5));
  return add(draft, 'Mul', x, share);
}

/** A convolution whose kernel steps from patch to patch of a square image of known size, as one product. */
function patches(draft: Draft, node: GraphNode, graph: Graph): string {
  const [x = '', w = '', bias = ''] = node.inputs;
  const weight = graph.initializers.get(w) as Tensor;
  const [outputs = 0, channels = 0, size = 0] = weight.dims;
  const length = graph.inputs.find(({ name }) => name === x)?.dims[2];
  if (typeof length !== 'number' || length % size !== 0 || intsAttribute(node, 'strides')?.[0] !== size)
    throw new Error(`The convolution ${node.name} does not cut into patches.`);
  const side = length / size;
  const shape = (...dims: number[]) => draft.constant('double_shape', int64(dims));
  const turn = (value: string, perm: number[]) =>
    draft.add('Transpose', [value], 'double_turned', { perm: ints(perm) });
  const split = add(draft, 'Reshape', x, shape(-1, channels, side, size, side, size));
  const rows = add(
    draft,
    'Reshape',
    turn(split, [0, 2, 4, 1, 3, 5]),
    shape(-1, side * side, channels * size * size),
  );
  const product = add(draft, 'MatMul', rows, turn(add(draft, 'Reshape', w, shape(outputs, -1)), [1, 0]));
  const biased = bias === '' ? product : add(draft, 'Add', product, bias);
  return add(draft, 'Reshape', turn(biased, [0, 2, 1]), shape(-1, outputs, side, side));
}
