/**
 * What a thread that computes leaves to others. Where all cores are taken, the main thread, which reads requests and hands them
 * out, would wait for the end of somebody's slice of a core each time, some milliseconds that every request then waits; and while
 * it waits, threads that are through with their runs get no others.
 */
import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';

/** As `nice` has it: enough that others go first, and not so much that a thread starves beside another process. */
const NICENESS = 5;

/** Lets other threads of its process, and other processes, go before the calling thread. Returns where that cannot be had. */
export function giveWay(niceness = NICENESS): void {
  // Elsewhere priorities are those of whole processes.
  if (process.platform !== 'linux') return;
  try {
    const thread = readlinkSync('/proc/thread-self').split('/').at(-1);
    setPriority(Number(thread), niceness);
  } catch {
    // A speed-up, and not to be had where /proc is not mounted.
  }
}
