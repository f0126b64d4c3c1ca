/**
 * Earliest deadline first; equal deadlines in the order of arrival, entries without a deadline last. A sorted list: each decision looks
 * at dozens of those that wait, and each arrival at all that go before it, so that order must cost nothing to read. To put one in or
 * take it out moves those behind it, of which there are at most some thousands.
 */
import { SppError } from '../../../schema/errors.ts';
import type { QueueEntry, RequestQueue } from './request-queue.ts';

interface Place<E> {
  readonly entry: E;
  readonly deadlineMs: number;
  readonly arrival: number;
}

/** @param limit most entries that may wait; further ones are refused with `queue-full` */
export function edfQueue<E extends QueueEntry>(limit: number): RequestQueue<E> {
  /** In the order of service; likewise `entries`. */
  const sorted: Place<E>[] = [];
  const entries: E[] = [];
  const places = new Map<E, Place<E>>();
  let arrivals = 0;

  /** The first index whose place does not go before this one: its own where it is there. */
  const indexOf = (place: Place<E>): number => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = sorted[middle];
      if (other !== undefined && before(other, place)) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  return {
    get length() {
      return entries.length;
    },
    push(entry) {
      if (entries.length >= limit)
        throw new SppError('queue-full', `${entries.length} requests wait already, which is the limit.`, {
          hint: 'Send fewer requests at a time, or try again later.',
          retryAfterS: 1,
        });
      const deadlineMs = entry.deadlineMs ?? Number.POSITIVE_INFINITY;
      const place = { entry, deadlineMs, arrival: arrivals++ };
      const at = indexOf(place);
      places.set(entry, place);
      sorted.splice(at, 0, place);
      entries.splice(at, 0, entry);
    },
    remove(entry) {
      const place = places.get(entry);
      if (place === undefined) return false;
      const at = indexOf(place);
      places.delete(entry);
      sorted.splice(at, 1);
      entries.splice(at, 1);
      return true;
    },
    inOrder: () => entries,
    clear() {
      places.clear();
      sorted.length = 0;
      return entries.splice(0);
    },
  };
}

function before(a: Place<unknown>, b: Place<unknown>): boolean {
  return a.deadlineMs < b.deadlineMs || (a.deadlineMs === b.deadlineMs && a.arrival < b.arrival);
}
