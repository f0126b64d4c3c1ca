/** Taking turns between the threads of a process, where they use what is not made for several threads. */

const FREE = 0;
const TAKEN = 1;

/** For threads to share, as `workerData` of each. */
export type Turns = Int32Array<SharedArrayBuffer>;

export function createTurns(): Turns {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
}

/** Blocks the thread until no other is at it, and the others until `work` has settled. */
export async function inTurn<Result>(turns: Turns, work: () => Promise<Result>): Promise<Result> {
  while (Atomics.compareExchange(turns, 0, FREE, TAKEN) !== FREE) Atomics.wait(turns, 0, TAKEN);
  try {
    return await work();
  } finally {
    Atomics.store(turns, 0, FREE);
    Atomics.notify(turns, 0, 1);
  }
}
