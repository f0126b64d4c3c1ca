/** First in, first out, with a limit. */
import { SppError } from '../../../schema/errors.ts';
import type { QueueEntry, RequestQueue } from './request-queue.ts';

/** @param limit most entries that may wait; further ones are refused with `queue-full` */
export function fifoQueue<E extends QueueEntry>(limit: number): RequestQueue<E> {
  // A Set keeps the order of insertion and removes from the middle in constant time.
  const waiting = new Set<E>();
  return {
    get length() {
      return waiting.size;
    },
    push(entry) {
      if (waiting.size >= limit) {
        throw new SppError('queue-full', `${waiting.size} requests wait already, which is the limit.`, {
          hint: 'Send fewer requests at a time, or try again later.',
          retryAfterS: 1,
        });
      }
      waiting.add(entry);
    },
    take(nowMs) {
      const expired: E[] = [];
      for (const entry of waiting) {
        waiting.delete(entry);
        if (entry.deadlineMs === undefined || entry.deadlineMs > nowMs) return { next: entry, expired };
        expired.push(entry);
      }
      return { next: undefined, expired };
    },
    remove: (entry) => waiting.delete(entry),
    clear() {
      const entries = [...waiting];
      waiting.clear();
      return entries;
    },
  };
}
