/**
 * The contract of the place where requests wait for a worker. A queue decides order and admission and nothing else:
 * it holds no timer, reads no clock and starts no work, so one policy can be swapped for another.
 */

export interface QueueEntry {
  /** Absolute, on the clock whose readings `take` is given; undefined waits as long as it takes. */
  readonly deadlineMs: number | undefined;
}

export interface Taken<E> {
  /** What to serve now; undefined when nothing that can still be served waits. */
  readonly next: E | undefined;
  /** Entries met on the way whose deadline has passed; they have left the queue and must be refused. */
  readonly expired: readonly E[];
}

export interface RequestQueue<E extends QueueEntry> {
  readonly length: number;
  /** @throws `queue-full` when the queue holds as many entries as it may */
  push(entry: E): void;
  take(nowMs: number): Taken<E>;
  /** Takes an entry out of turn (client gone, deadline passed). @returns whether it was still waiting */
  remove(entry: E): boolean;
  /** Empties the queue, in order. */
  clear(): E[];
}
