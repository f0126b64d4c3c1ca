/**
 * The contract of the place where requests wait for a worker. A queue decides order and admission and nothing else:
 * it holds no timer, reads no clock and starts no work, so one order can be swapped for another.
 */

export interface QueueEntry {
  /** Absolute, on a steady clock; undefined waits as long as it takes. */
  readonly deadlineMs: number | undefined;
}

export interface RequestQueue<E extends QueueEntry> {
  readonly length: number;
  /** @throws `queue-full` when the queue holds as many entries as it may */
  push(entry: E): void;
  /** @returns whether the entry was still waiting */
  remove(entry: E): boolean;
  /** What waits, in the order of service. Costs what is taken of it; not to be used on after the queue has changed. */
  inOrder(): Iterable<E>;
  /** Empties the queue, in order. */
  clear(): E[];
}
