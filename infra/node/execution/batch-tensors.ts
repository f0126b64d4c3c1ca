/** Inputs of several requests as those of one run, and its outputs as theirs: tensors joined and cut along axis 0. */
import type { TensorArray } from '../../../schema/binary-tensors.ts';
import type { RawTensor } from '../tensors.ts';

/**
 * @param feeds of each request, the same ports in the same order; tensors [rows_i, ...rest] of equal rest
 * @returns tensors [sum of rows_i, ...rest] in arrays of their own
 */
export function joinFeeds(feeds: readonly (readonly RawTensor[])[]): RawTensor[] {
  const [first = []] = feeds;
  return first.map(({ name, type, dims, data }, port) => {
    const parts = feeds.map((request) => request[port] as RawTensor);
    const rows = parts.reduce((sum, part) => sum + (part.dims[0] ?? 0), 0);
    const whole = emptyLike(
      data,
      parts.reduce((sum, part) => sum + part.data.length, 0),
    );
    let offset = 0;
    for (const part of parts) {
      // Ports fix the type, so all parts have the same one.
      whole.set(part.data as never, offset);
      offset += part.data.length;
    }
    return { name, type, dims: [rows, ...dims.slice(1)], data: whole };
  });
}

/**
 * @param outputs tensors [sum of rows, ...]
 * @param rows of each request, in the order of the join
 * @returns each request's outputs, as views; undefined when an output does not have one row a row of the input
 */
export function cutOutputs(
  outputs: readonly RawTensor[],
  rows: readonly number[],
): RawTensor[][] | undefined {
  const total = rows.reduce((sum, count) => sum + count, 0);
  if (outputs.some(({ dims }) => dims[0] !== total)) return undefined;
  let start = 0;
  return rows.map((count) => {
    const [from, to] = [start, start + count];
    start = to;
    return outputs.map(({ name, type, dims, data }) => {
      const width = data.length / total;
      const part = data.subarray(from * width, to * width) as TensorArray;
      return { name, type, dims: [count, ...dims.slice(1)], data: part };
    });
  });
}

function emptyLike(data: TensorArray, length: number): TensorArray {
  const ArrayType = data.constructor as new (length: number) => TensorArray;
  return new ArrayType(length);
}
