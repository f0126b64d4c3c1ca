/**
 * Earliest deadline first; equal deadlines in the order of arrival, entries without a deadline last. A binary heap that
 * knows where each entry stands, so that entries leave from the middle in logarithmic time.
 */
import { SppError } from '../../../schema/errors.ts';
import type { QueueEntry, RequestQueue } from './request-queue.ts';

interface Place<E> {
  readonly entry: E;
  readonly deadlineMs: number;
  readonly arrival: number;
  /** Index in the heap: the parent stands at (at - 1) >> 1, children at 2 at + 1 and 2 at + 2. */
  at: number;
}

/** @param limit most entries that may wait; further ones are refused with `queue-full` */
export function edfQueue<E extends QueueEntry>(limit: number): RequestQueue<E> {
  const heap: Place<E>[] = [];
  const places = new Map<E, Place<E>>();
  let arrivals = 0;

  const put = (place: Place<E>, at: number) => {
    heap[at] = place;
    place.at = at;
  };

  /** Moves a place towards the root, then towards the leaves, until no parent is later than its children. */
  const settle = (place: Place<E>) => {
    for (let parent = heap[(place.at - 1) >> 1]; parent !== undefined && before(place, parent); ) {
      const { at } = parent;
      put(parent, place.at);
      put(place, at);
      parent = heap[(at - 1) >> 1];
    }
    for (;;) {
      const [left, right] = [heap[2 * place.at + 1], heap[2 * place.at + 2]];
      const child = right !== undefined && left !== undefined && before(right, left) ? right : left;
      if (child === undefined || before(place, child)) return;
      const { at } = child;
      put(child, place.at);
      put(place, at);
    }
  };

  return {
    get length() {
      return heap.length;
    },
    push(entry) {
      if (heap.length >= limit)
        throw new SppError('queue-full', `${heap.length} requests wait already, which is the limit.`, {
          hint: 'Send fewer requests at a time, or try again later.',
          retryAfterS: 1,
        });
      const deadlineMs = entry.deadlineMs ?? Number.POSITIVE_INFINITY;
      const place = { entry, deadlineMs, arrival: arrivals++, at: heap.length };
      places.set(entry, place);
      heap.push(place);
      settle(place);
    },
    remove(entry) {
      const place = places.get(entry);
      const last = place && heap.pop();
      if (place === undefined || last === undefined) return false;
      places.delete(entry);
      if (last !== place) {
        put(last, place.at);
        settle(last);
      }
      return true;
    },
    inOrder: () => ascending(heap),
    clear() {
      const entries = [...ascending(heap)];
      heap.length = 0;
      places.clear();
      return entries;
    },
  };
}

function before(a: Place<unknown>, b: Place<unknown>): boolean {
  return a.deadlineMs < b.deadlineMs || (a.deadlineMs === b.deadlineMs && a.arrival < b.arrival);
}

/** The next in order is always the earliest of those whose parents have been given. */
function* ascending<E>(heap: readonly Place<E>[]): Iterable<E> {
  const frontier = heap.slice(0, 1);
  for (;;) {
    const next = frontier.reduce<Place<E> | undefined>(
      (first, place) => (first === undefined || before(place, first) ? place : first),
      undefined,
    );
    if (next === undefined) return;
    frontier.splice(frontier.indexOf(next), 1);
    for (const child of [heap[2 * next.at + 1], heap[2 * next.at + 2]])
      if (child !== undefined) frontier.push(child);
    yield next.entry;
  }
}
