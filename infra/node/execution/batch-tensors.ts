/**
 * Inputs of several requests as those of one run, and its outputs as theirs: tensors joined and cut along axis 0. Where
 * padding is exact (`model/padding.ts`), sequences along axis 1 are filled up with zeros to the longest, and cut to what they were.
 */
import type { TensorArray } from '../../../schema/binary-tensors.ts';
import type { RawTensor } from '../tensors.ts';

/** Tensors whose axis 1 is the length of sequences, which may differ within a run. */
export interface PaddedAxes {
  readonly inputs: ReadonlySet<string>;
  readonly outputs: ReadonlySet<string>;
}

const newBuffer = (bytes: number) => new ArrayBuffer(bytes);

export const NOTHING_PADDED: PaddedAxes = { inputs: new Set(), outputs: new Set() };

/**
 * @param feeds of each request, the same ports in the same order; tensors [rows_i, ...rest], or [rows_i, length_i, ...rest]
 *   if `padded`, of equal rest
 * @param take memory of so many bytes, whatever is in it
 * @returns tensors [sum of rows_i, ...rest], with the longest length, in arrays of their own
 */
export function joinFeeds(
  feeds: readonly (readonly RawTensor[])[],
  padded: PaddedAxes = NOTHING_PADDED,
  take: (bytes: number) => ArrayBuffer = newBuffer,
): RawTensor[] {
  const [first = []] = feeds;
  return first.map(({ name, type, dims, data }, port) => {
    const parts = feeds.map((request) => request[port] as RawTensor);
    const rows = parts.reduce((sum, part) => sum + (part.dims[0] ?? 0), 0);
    const isPadded = padded.inputs.has(name);
    const longest = Math.max(...parts.map((part) => part.dims[1] ?? 1));
    const joined = isPadded ? [rows, longest, ...dims.slice(2)] : [rows, ...dims.slice(1)];
    const elements = joined.reduce((product, dim) => product * dim, 1);
    const memory = take(elements * data.BYTES_PER_ELEMENT);
    if (isPadded) new Uint8Array(memory).fill(0);
    const whole = arrayLike(data, memory);
    const width = whole.length / rows;
    let offset = 0;
    for (const part of parts) {
      const [count = 0, length = 1] = part.dims;
      // Ports fix the type, so all parts have the same one.
      if (!isPadded || length === longest) whole.set(part.data as never, offset);
      else {
        const own = part.data.length / count;
        for (let row = 0; row < count; row++)
          whole.set(part.data.subarray(row * own, (row + 1) * own) as never, offset + row * width);
      }
      offset += count * width;
    }
    return { name, type, dims: joined, data: whole };
  });
}

/** @returns a request's tensors as they are, in arrays of their own */
export function copyFeeds(feeds: readonly RawTensor[], take: (bytes: number) => ArrayBuffer): RawTensor[] {
  return feeds.map((feed) => {
    const data = arrayLike(feed.data, take(feed.data.byteLength));
    data.set(feed.data as never);
    return { ...feed, data };
  });
}

/**
 * @param outputs tensors [sum of rows, ...]
 * @param rows of each request, in the order of the join
 * @param padded what was filled up, and the length that each request had
 * @returns each request's outputs, as views where they were not padded; undefined when an output does not have one row a
 *   row of the input
 */
export function cutOutputs(
  outputs: readonly RawTensor[],
  rows: readonly number[],
  padded?: { readonly outputs: ReadonlySet<string>; readonly lengths: readonly number[] },
): RawTensor[][] | undefined {
  const total = rows.reduce((sum, count) => sum + count, 0);
  if (outputs.some(({ dims }) => dims[0] !== total)) return undefined;
  let start = 0;
  return rows.map((count, i) => {
    const [from, to] = [start, start + count];
    start = to;
    return outputs.map(({ name, type, dims, data }) => {
      const width = data.length / total;
      const part = data.subarray(from * width, to * width) as TensorArray;
      const length = padded?.outputs.has(name) ? padded.lengths[i] : undefined;
      if (length === undefined || length === dims[1])
        return { name, type, dims: [count, ...dims.slice(1)], data: part };
      const own = (width / (dims[1] ?? 1)) * length;
      const cut = arrayLike(data, new ArrayBuffer(count * own * data.BYTES_PER_ELEMENT));
      for (let row = 0; row < count; row++)
        cut.set(part.subarray(row * width, row * width + own) as never, row * own);
      return { name, type, dims: [count, length, ...dims.slice(2)], data: cut };
    });
  });
}

function arrayLike(data: TensorArray, buffer: ArrayBuffer): TensorArray {
  const ArrayType = data.constructor as new (buffer: ArrayBuffer) => TensorArray;
  return new ArrayType(buffer);
}
