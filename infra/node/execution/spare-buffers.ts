/** Memory of inputs whose run is over, for the next ones: new memory is cleared when it is taken and collected when it is left. */

export interface SpareBuffers {
  /** Of exactly so many bytes; what is in it is left over from before. */
  take(bytes: number): ArrayBuffer;
  give(buffer: ArrayBuffer): void;
}

/** @param mostBytes kept in all; the size that was used longest ago goes first */
export function spareBuffers(mostBytes: number): SpareBuffers {
  /** By size, the one used last at the end; none that is empty, as clients choose sizes. */
  const spare = new Map<number, ArrayBuffer[]>();
  let keptBytes = 0;
  const put = (bytes: number, same: ArrayBuffer[]) => {
    spare.delete(bytes);
    if (same.length > 0) spare.set(bytes, same);
  };
  return {
    take(bytes) {
      const same = spare.get(bytes);
      const buffer = same?.pop();
      if (same === undefined || buffer === undefined) return new ArrayBuffer(bytes);
      keptBytes -= bytes;
      put(bytes, same);
      return buffer;
    },
    give(buffer) {
      const bytes = buffer.byteLength;
      const same = spare.get(bytes) ?? [];
      same.push(buffer);
      put(bytes, same);
      keptBytes += bytes;
      for (const [size, oldest] of spare) {
        for (; keptBytes > mostBytes && oldest.length > 0; oldest.pop()) keptBytes -= size;
        if (oldest.length === 0) spare.delete(size);
        if (keptBytes <= mostBytes) return;
      }
    },
  };
}
