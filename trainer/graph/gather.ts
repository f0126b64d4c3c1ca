/** Picking along one axis of a constant. */
import { derivedTensor } from './deferred.ts';
import type { Tensor, TensorData } from './graph.ts';

/** Some indices of one axis, in the order given. */
export function gather(tensor: Tensor, axis: number, indices: readonly number[]): Tensor {
  const { dims } = tensor;
  return derivedTensor(tensor, dims.with(axis, indices.length), (data) => picked(data, dims, axis, indices), {
    kind: 'gather',
    axis,
    indices,
  });
}

function picked(
  data: TensorData,
  dims: readonly number[],
  axis: number,
  indices: readonly number[],
): TensorData {
  const inner = dims.slice(axis + 1).reduce((a, b) => a * b, 1);
  const length = dims[axis] ?? 1;
  const outer = inner * length === 0 ? 0 : data.length / (inner * length);
  const out = new (data.constructor as new (length: number) => typeof data)(outer * indices.length * inner);
  // A call costs more than one element.
  if (inner === 1) {
    for (let o = 0, to = 0; o < outer; o++)
      for (const index of indices) out[to++] = data[o * length + index] as never;
    return out;
  }
  for (let o = 0; o < outer; o++) {
    for (const [i, index] of indices.entries()) {
      const from = (o * length + index) * inner;
      out.set(data.subarray(from, from + inner) as never, (o * indices.length + i) * inner);
    }
  }
  return out;
}
