/** Float arrays in memory that all threads see: weights are written once by the host and read by every lane without being sent. */

/** @returns arrays of zeros of these lengths, in one shared buffer */
export function sharedFloats(lengths: readonly number[]): Float32Array<SharedArrayBuffer>[] {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const buffer = new SharedArrayBuffer(total * Float32Array.BYTES_PER_ELEMENT);
  let offset = 0;
  return lengths.map((length) => {
    const view = new Float32Array(buffer, offset, length);
    offset += view.byteLength;
    return view;
  });
}
