/** onnxruntime's products with something fused to them, in plain nodes. */
import { type Attribute, floatAttribute, type GraphNode, intAttribute, stringAttribute } from '../graph.ts';
import { transposeMatrix } from '../linear.ts';
import type { NodeBuilder, Unfold } from './node-builder.ts';

/** alpha A'B', the last two axes turned if asked for. */
export const fusedMatMul: Unfold = (b) => {
  const { node } = b;
  if (intAttribute(node, 'transBatchA', 0) === 1 || intAttribute(node, 'transBatchB', 0) === 1)
    return undefined;
  const [left = '', right = ''] = node.inputs;
  const sides = [turned(b, left, 'transA'), turned(b, right, 'transB')];
  if (sides.includes(undefined)) return undefined;
  const product = b.op('MatMul', sides as string[]);
  const alpha = floatAttribute(node, 'alpha', 1);
  return [alpha === 1 ? product : b.op('Mul', [product, b.scalar(alpha)])];
};

function turned(b: NodeBuilder, value: string, flag: string): string | undefined {
  if (intAttribute(b.node, flag, 0) === 0) return value;
  const matrix = b.initializer(value);
  if (matrix?.dtype === 'float32' && matrix.dims.length === 2) return b.constant(transposeMatrix(matrix));
  const rank = b.rank(value);
  if (rank === undefined || rank < 2) return undefined;
  const axes = Array.from({ length: rank }, (_, axis) => axis);
  return b.transpose(value, [...axes.slice(0, -2), rank - 1, rank - 2]);
}

export const fusedGemm: Unfold = (b) => {
  const kept = Object.entries(b.node.attributes).filter(([name]) => !name.startsWith('activation'));
  return activated(b, b.op('Gemm', b.node.inputs, Object.fromEntries(kept)));
};

/** The fourth input is added before the activation. */
export const fusedConv: Unfold = (b) => {
  const [x = '', kernel = '', bias = '', residual = ''] = b.node.inputs;
  const kept = Object.entries(b.node.attributes).filter(([name]) => !name.startsWith('activation'));
  const y = b.op('Conv', [x, kernel, ...(bias === '' ? [] : [bias])], Object.fromEntries(kept));
  return activated(b, residual === '' ? y : b.op('Add', [y, residual]));
};

/** By the attributes `activation` and `activation_*` (Gemm: by name; Conv: in a list). */
function activated(b: NodeBuilder, y: string): readonly string[] | undefined {
  const name = stringAttribute(b.node, 'activation', '');
  if (name === '') return [y];
  const numbers = parameters(b.node);
  const take = activations[name];
  return take ? [b.op(name, [y], take(numbers))] : undefined;
}

interface Parameters {
  readonly alpha: number | undefined;
  readonly beta: number | undefined;
}

function parameters(node: GraphNode): Parameters {
  const list = node.attributes.activation_params;
  const named = (key: string) => {
    const attribute = node.attributes[key];
    return attribute?.kind === 'float' ? attribute.value : undefined;
  };
  const [first, second] = list?.kind === 'floats' ? list.value : [];
  return { alpha: named('activation_alpha') ?? first, beta: named('activation_beta') ?? second };
}

const float = (value: number): Attribute => ({ kind: 'float', value });
const given = (entries: Readonly<Record<string, number | undefined>>): Record<string, Attribute> =>
  Object.fromEntries(
    Object.entries(entries).flatMap(([name, value]) => (value === undefined ? [] : [[name, float(value)]])),
  );

/** What may be fused, and how its parameters are called. */
const activations: Readonly<Record<string, (given: Parameters) => Record<string, Attribute>>> = {
  Relu: () => ({}),
  Sigmoid: () => ({}),
  Tanh: () => ({}),
  Softplus: () => ({}),
  Elu: ({ alpha }) => given({ alpha }),
  LeakyRelu: ({ alpha }) => given({ alpha }),
  HardSigmoid: ({ alpha, beta }) => given({ alpha, beta }),
};
