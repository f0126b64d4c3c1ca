/** onnxruntime's activations in plain nodes, in the forms that exporters write and its own optimiser finds again. */
import { floatAttribute, stringAttribute } from '../graph.ts';
import type { NodeBuilder, Unfold } from './node-builder.ts';

/** Gelu is ONNX's own from this opset on. */
const GELU = 20;

/** 0.5 x (1 + erf(x / √2)). */
function gelu(b: NodeBuilder, x: string): string {
  if (b.opset >= GELU) return b.op('Gelu', [x]);
  const erf = b.op('Erf', [b.op('Div', [x, b.scalar(Math.SQRT2)])]);
  const sum = b.op('Add', [erf, b.scalar(1)]);
  return b.op('Mul', [b.op('Mul', [x, sum]), b.scalar(0.5)]);
}

/** 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))). */
function geluByTanh(b: NodeBuilder, x: string): string {
  if (b.opset >= GELU) return b.op('Gelu', [x], { approximate: { kind: 'string', value: 'tanh' } });
  const times = (left: string, right: string) => b.op('Mul', [left, right]);
  const cube = times(times(times(x, x), x), b.scalar(0.044715));
  const inner = times(b.op('Add', [x, cube]), b.scalar(Math.sqrt(2 / Math.PI)));
  const sum = b.op('Add', [b.op('Tanh', [inner]), b.scalar(1)]);
  return times(times(x, b.scalar(0.5)), sum);
}

const first = (b: NodeBuilder) => b.node.inputs[0] ?? '';

export const biasGelu: Unfold = (b) => [gelu(b, b.op('Add', b.node.inputs))];

export const microsoftGelu: Unfold = (b) => [
  stringAttribute(b.node, 'approximate', 'none') === 'tanh' ? geluByTanh(b, first(b)) : gelu(b, first(b)),
];

export const fastGelu: Unfold = (b) => {
  const bias = b.input(1);
  return [geluByTanh(b, bias === undefined ? first(b) : b.op('Add', [first(b), bias]))];
};

/** x sigmoid(alpha x); with alpha 1 it is what LLaMA's gate goes through. */
export const quickGelu: Unfold = (b) => {
  const alpha = floatAttribute(b.node, 'alpha', 1.702);
  const scaled = alpha === 1 ? first(b) : b.op('Mul', [first(b), b.scalar(alpha)]);
  return [b.op('Mul', [first(b), b.op('Sigmoid', [scaled])])];
};
