/**
 * Pooling over [N, C, spatial...] of any rank: each place of the window is one strided slice of the padded tensor, and the slices
 * are folded element by element, so that gradients are those of slices and of maxima.
 */
import * as tf from '@tensorflow/tfjs-core';
import { elementCount, type GraphNode, intAttribute, intsAttribute, stringAttribute } from '../graph.ts';
import { hostValue, isHost, toDevice, toHost, type Value } from '../value.ts';
import { always, type Evaluate, input, type OpTable } from './op.ts';
import { type Around, padConstant } from './pad.ts';
import { sliceAxis } from './slice.ts';

/** The window along one spatial axis. */
export interface Side {
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  /** As the node says, before and after. */
  readonly pads: Around;
  /** Beyond the pads, where rounding up lets the last window begin inside but end outside. */
  readonly extra: number;
  readonly length: number;
  readonly count: number;
}

/** @param spatial lengths of the input's spatial axes */
export function sidesOf(node: GraphNode, spatial: readonly number[]): Side[] {
  const kernel = intsAttribute(node, 'kernel_shape') ?? [];
  const pads = intsAttribute(node, 'pads') ?? kernel.map(() => 0).concat(kernel.map(() => 0));
  const auto = stringAttribute(node, 'auto_pad', 'NOTSET');
  const ceil = intAttribute(node, 'ceil_mode', 0) === 1;
  return kernel.map((size, side) => {
    const length = spatial[side] as number;
    const stride = intsAttribute(node, 'strides')?.[side] ?? 1;
    const dilation = intsAttribute(node, 'dilations')?.[side] ?? 1;
    const reach = (size - 1) * dilation + 1;
    const around = (): Around => {
      if (auto === 'NOTSET') return [pads[side] as number, pads[side + kernel.length] as number];
      if (auto === 'VALID') return [0, 0];
      const total = Math.max(0, (Math.ceil(length / stride) - 1) * stride + reach - length);
      const less = Math.floor(total / 2);
      return auto === 'SAME_UPPER' ? [less, total - less] : [total - less, less];
    };
    const [before, after] = around();
    const steps = (length + before + after - reach) / stride;
    let count = (ceil ? Math.ceil(steps) : Math.floor(steps)) + 1;
    // A window that begins in the padding behind the tensor is none.
    if (ceil && (count - 1) * stride >= length + before) count--;
    const extra = Math.max(0, (count - 1) * stride + reach - (length + before + after));
    return { kernel: size, stride, dilation, pads: [before, after], extra, length, count };
  });
}

/** The padded tensor seen through each place of the window, in row-major order of places: [N, C, counts...] each. */
function places(x: Value, sides: readonly Side[], fill: number): Value[] {
  const around = sides.map(({ pads: [before, after], extra }): Around => [before, after + extra]);
  const padded = padConstant(x, [[0, 0], [0, 0], ...around], fill);
  return sides.reduce<Value[]>(
    (parts, { kernel, stride, dilation, count }, side) =>
      parts.flatMap((part) =>
        Array.from({ length: kernel }, (_, at) =>
          sliceAxis(part, { axis: side + 2, start: at * dilation, count, step: stride }),
        ),
      ),
    [padded],
  );
}

const maxPool: Evaluate = (call) => {
  const given = input(call, 0);
  // Small integers are exact in float32.
  const x = tf.cast(toDevice(given), 'float32');
  const sides = sidesOf(call.node, x.shape.slice(2));
  const parts = places(x, sides, Number.NEGATIVE_INFINITY) as tf.Tensor[];
  const y = parts.reduce((best, part) => tf.maximum(best, part));
  const pooled: Value = isHost(given) ? { ...toHost(y), dtype: given.dtype } : y;
  return (call.node.outputs[1] ?? '') === '' ? pooled : [pooled, positions(call.node, x, sides, parts)];
};

/** Where in the whole input each maximum is; row-major, or column-major within a channel when `storage_order` says so. */
function positions(
  node: GraphNode,
  x: tf.Tensor,
  sides: readonly Side[],
  parts: readonly tf.Tensor[],
): Value {
  const columns = intAttribute(node, 'storage_order', 0) === 1;
  const spatial = x.shape.slice(2);
  const area = elementCount(spatial);
  const [rows = 1, width = 1] = spatial;
  const own = Array.from({ length: x.size }, (_, i) => {
    if (!columns) return i;
    const at = i % area;
    return i - at + (at % width) * rows + Math.floor(at / width);
  });
  const where = places(hostValue('int64', x.shape, own), sides, -1).map(toHost);
  const values = parts.map((part) => toHost(part).data);
  const [first] = where as [(typeof where)[number]];
  const data = first.data.map((_, i) => {
    let best = 0;
    values.forEach((column, place) => {
      if ((column[i] as number) > (values[best]?.[i] as number)) best = place;
    });
    return where[best]?.data[i] as number;
  });
  return hostValue('int64', first.dims, data);
}

const averagePool: Evaluate = (call) => {
  const x = toDevice(input(call, 0));
  const sides = sidesOf(call.node, x.shape.slice(2));
  const total = (places(x, sides, 0) as tf.Tensor[]).reduce((sum, part) => tf.add(sum, part));
  const { dims, data } = placesCounted(call.node, sides);
  return tf.div(total, tf.tensor(data, [...dims]));
};

/** How many places of each window an average counts: [counts...] */
export function placesCounted(
  node: GraphNode,
  sides: readonly Side[],
): { readonly dims: readonly number[]; readonly data: Float32Array } {
  const withPads = intAttribute(node, 'count_include_pad', 0) === 1;
  // Along each axis; their products are what is divided by.
  const counts = sides.map(({ kernel, stride, dilation, pads: [before, after], length, count }) =>
    Array.from({ length: count }, (_, i) => {
      let inside = 0;
      for (let k = 0; k < kernel; k++) {
        const at = i * stride + k * dilation - before;
        if (withPads ? at < length + after : at >= 0 && at < length) inside++;
      }
      return inside;
    }),
  );
  const area = counts.reduce<number[]>((all, own) => all.flatMap((a) => own.map((b) => a * b)), [1]);
  return { dims: counts.map(({ length }) => length), data: Float32Array.from(area) };
}

/** The p-norm of each window. */
const lpPool: Evaluate = (call) => {
  const x = toDevice(input(call, 0));
  const p = intAttribute(call.node, 'p', 2);
  const sides = sidesOf(call.node, x.shape.slice(2));
  const parts = places(tf.pow(tf.abs(x), p), sides, 0) as tf.Tensor[];
  return tf.pow(
    parts.reduce((sum, part) => tf.add(sum, part)),
    1 / p,
  );
};

const over =
  (f: (x: tf.Tensor, axes: number[], keepDims: boolean) => tf.Tensor): Evaluate =>
  (call) => {
    const x = toDevice(input(call, 0));
    return f(x, x.shape.map((_, axis) => axis).slice(2), true);
  };

export const poolOps: OpTable = {
  MaxPool: always(maxPool),
  AveragePool: always(averagePool),
  LpPool: always(lpPool),
  GlobalMaxPool: always(over(tf.max)),
  GlobalAveragePool: always(over(tf.mean)),
};
