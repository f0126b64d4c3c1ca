/** Normalisations with a residual in front, and onnxruntime's embedding of tokens, places and segments. */
import { type Attribute, floatAttribute } from '../graph.ts';
import type { NodeBuilder, Unfold } from './node-builder.ts';

/** onnxruntime's default for these operators. */
const EPSILON = 1e-12;

function attributes(b: NodeBuilder): Record<string, Attribute> {
  return {
    axis: { kind: 'int', value: -1 },
    epsilon: { kind: 'float', value: floatAttribute(b.node, 'epsilon', EPSILON) },
  };
}

/** x + skip (+ bias), which is also the fourth output; the two in between exist in training only. */
function residual(b: NodeBuilder, bias: string | undefined): string {
  const [x = '', skip = ''] = b.node.inputs;
  const sum = b.op('Add', [x, skip]);
  return bias === undefined ? sum : b.op('Add', [sum, bias]);
}

export const skipLayerNorm: Unfold = (b) => {
  const [, , scale = '', shift = ''] = b.node.inputs;
  if (b.wants(1) || b.wants(2)) return undefined;
  const sum = residual(b, b.input(4));
  const y = b.op('LayerNormalization', [sum, scale, ...(shift === '' ? [] : [shift])], attributes(b));
  return [y, '', '', sum];
};

export const skipRmsNorm: Unfold = (b) => {
  const [, , scale = ''] = b.node.inputs;
  if (b.wants(1) || b.wants(2)) return undefined;
  const sum = residual(b, b.input(3));
  return [b.op('SimplifiedLayerNormalization', [sum, scale], attributes(b)), '', '', sum];
};

/** Rows of up to three tables by ids [B, S], added and normalised; then the number of tokens of each example by the mask. */
export const embedLayerNorm: Unfold = (b) => {
  const [ids = '', segments = '', words = '', places = '', kinds = '', scale = '', shift = ''] =
    b.node.inputs;
  const look = (table: string, at: string) =>
    b.op('Gather', [table, at], { axis: { kind: 'int', value: 0 } });
  const at = b.input(8) ?? b.unsqueeze(b.range(b.length(ids, 1)), [0]); // [1, S]
  const placed = b.op('Add', [look(words, ids), look(places, at)]);
  const sum = segments === '' || kinds === '' ? placed : b.op('Add', [placed, look(kinds, segments)]);
  const y = b.op('LayerNormalization', [sum, scale, shift], attributes(b));
  return [y, ...(b.wants(1) ? [tokens(b, ids)] : ['']), sum];
};

/** [B] int32; zeros without a mask. */
function tokens(b: NodeBuilder, ids: string): string {
  const mask = b.input(7);
  const counted = mask ?? b.op('Sub', [ids, ids]);
  return b.cast(b.squeeze(b.reduce('ReduceSum', counted, [1]), [1]), 'int32');
}
