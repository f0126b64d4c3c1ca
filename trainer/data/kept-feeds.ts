/** Examples that are read again and again, once a level: kept as far as they fit, so that no pass waits for a file or a conversion. */
import type { BoundSplit } from './bind-dataset.ts';
import type { Tensors } from './dataset.ts';

/** @param mostBytes of what is kept; what comes later is read each time */
export function keptFeeds(split: BoundSplit, mostBytes: number): BoundSplit {
  const kept = new Map<string, Promise<Tensors>>();
  let bytes = 0;
  return {
    ...split,
    async feeds(indices) {
      const key = indices.join();
      const known = kept.get(key);
      if (known) return known;
      const read = split.feeds(indices);
      const size = Object.values(await read).reduce((sum, { data }) => sum + data.byteLength, 0);
      if (bytes + size <= mostBytes && !kept.has(key)) {
        bytes += size;
        kept.set(key, read);
      }
      return read;
    },
  };
}
