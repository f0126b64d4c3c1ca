/** Memory of inputs whose run is over, for the next ones: new memory is cleared when it is taken and collected when it is left. */

export interface SpareBuffers {
  /** Of exactly so many bytes; what is in it is left over from before. */
  take(bytes: number): ArrayBuffer;
  give(buffer: ArrayBuffer): void;
}

/** @param mostBytes kept in all; the size that was used longest ago goes first */
export function spareBuffers(mostBytes: number): SpareBuffers {
  /** By size, the one used last at the end. */
  const spare = new Map<number, ArrayBuffer[]>();
  let keptBytes = 0;
  const touch = (bytes: number): ArrayBuffer[] => {
    const same = spare.get(bytes) ?? [];
    spare.delete(bytes);
    spare.set(bytes, same);
    return same;
  };
  return {
    take(bytes) {
      const buffer = touch(bytes).pop();
      if (buffer !== undefined) keptBytes -= bytes;
      return buffer ?? new ArrayBuffer(bytes);
    },
    give(buffer) {
      const bytes = buffer.byteLength;
      touch(bytes).push(buffer);
      keptBytes += bytes;
      for (const [size, same] of spare) {
        for (; keptBytes > mostBytes && same.length > 0; same.pop()) keptBytes -= size;
        if (same.length === 0 && size !== bytes) spare.delete(size);
        if (keptBytes <= mostBytes) return;
      }
    },
  };
}
