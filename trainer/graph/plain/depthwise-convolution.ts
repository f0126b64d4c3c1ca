/**
 * Writes a convolution by channel as what it is, a sum over its taps: each is the input, moved, times one number a channel.
 *
 *   y[n, c, p] = sum over taps k of w[c, k] x[n, c, stride p + dilation k] + b[c]
 *
 * The number of channels is then no attribute of the graph any more, so that levels may differ in it. It is slower than the convolution,
 * and done only for those that the units of a pair pass.
 */
import { derivedTensor } from '../deferred.ts';
import {
  elementCount,
  type GraphNode,
  intAttribute,
  intsAttribute,
  stringAttribute,
  type Tensor,
} from '../graph.ts';
import { int64 } from '../rewrite.ts';
import type { PlainForm } from './plain-form.ts';

/** 7 x 7; beyond, a sum of so many is no way to run it. */
const MOST_TAPS = 49;
/** Pad takes its widths as an input from this opset on. */
const PADS_INPUT = 11;
/** "To the end" for Slice. */
const END = Number.MAX_SAFE_INTEGER;

export const depthwiseConvolution: PlainForm = (site) => {
  const { node, opset } = site;
  const [input = '', kernel = '', bias = ''] = node.inputs;
  const weight = site.constant(kernel);
  const offset = site.constant(bias);
  if (!weight || !isDepthwise(node, weight) || (bias !== '' && !offset) || opset < PADS_INPUT) return false;
  const window = weight.dims.slice(2);
  const taps = elementCount(window);
  if (taps > MOST_TAPS || !['', 'NOTSET', 'VALID'].includes(stringAttribute(node, 'auto_pad', '')))
    return false;
  const along = (name: string) => intsAttribute(node, name) ?? window.map(() => 1);
  const [strides, dilations] = [along('strides'), along('dilations')];
  const pads = intsAttribute(node, 'pads') ?? window.flatMap(() => [0, 0]);
  const padded = pads.every((width) => width === 0)
    ? input
    : site.add('Pad', [input, site.keep(int64(aroundAll(pads)))]);
  const axes = site.keep(int64(window.map((_, i) => i + 2)));
  const steps = site.keep(int64(strides));

  const products = Array.from({ length: taps }, (_, tap) => {
    const at = placeOfTap(tap, window);
    const starts = at.map((place, i) => place * (dilations[i] ?? 1));
    const ends = starts.map((start, i) => start - (dilations[i] ?? 1) * ((window[i] ?? 1) - 1));
    const bounds = [starts, ends.map((end) => (end === 0 ? END : end))].map((bound) =>
      site.keep(int64(bound)),
    );
    const moved = site.add('Slice', [padded, ...bounds, axes, steps]);
    return { moved, factor: site.keep(tapOf(weight, tap, taps)) };
  });
  let sum = '';
  for (const [tap, { moved, factor }] of products.entries()) {
    const isLast = tap === taps - 1 && !offset;
    if (isLast && sum === '') return site.finish('Mul', [moved, factor]);
    const product = site.add('Mul', [moved, factor]);
    if (isLast) return site.finish('Add', [sum, product]);
    sum = sum === '' ? product : site.add('Add', [sum, product]);
  }
  return site.finish('Add', [sum, site.keep(byChannel(offset as Tensor, window.length))]);
};

/**
 * Whether a node is one tap of a convolution that was written so: a part of a value times one number a channel.
 * @param readsSlice whether the value is made by Slice
 */
export function isTap(
  { opType, inputs }: GraphNode,
  dimsOf: (constant: string) => readonly number[] | undefined,
  readsSlice: (value: string) => boolean,
): boolean {
  const [moved = '', factor = ''] = inputs;
  const [channels = 1, ...others] = dimsOf(factor) ?? [];
  const isByChannel = channels > 1 && others.length > 0 && others.every((length) => length === 1);
  return opType === 'Mul' && isByChannel && readsSlice(moved);
}

function isDepthwise(node: GraphNode, { dtype, dims }: Tensor): boolean {
  const groups = intAttribute(node, 'group', 1);
  return dtype === 'float32' && groups > 1 && dims[0] === groups && dims[1] === 1 && dims.length > 2;
}

/** The convolution's begins and ends, with none for batches and channels. */
function aroundAll(pads: readonly number[]): number[] {
  const half = pads.length / 2;
  return [0, 0, ...pads.slice(0, half), 0, 0, ...pads.slice(half)];
}

function placeOfTap(tap: number, window: readonly number[]): number[] {
  let rest = tap;
  return window
    .toReversed()
    .map((length) => {
      const at = rest % length;
      rest = Math.floor(rest / length);
      return at;
    })
    .reverse();
}

/** [C, 1, ...window] to [C, 1, ...]: one number a channel. */
function tapOf(weight: Tensor, tap: number, taps: number): Tensor {
  const [channels = 0, ...others] = weight.dims;
  return derivedTensor(weight, [channels, ...others.slice(1).map(() => 1)], (data) =>
    Float32Array.from({ length: channels }, (_, c) => Number(data[c * taps + tap])),
  );
}

function byChannel(bias: Tensor, spatial: number): Tensor {
  return derivedTensor(
    bias,
    [bias.dims[0] ?? 0, ...Array.from({ length: spatial }, () => 1)],
    (data) => data,
  );
}
