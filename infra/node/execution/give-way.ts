/**
 * What a thread that computes leaves to others. Where all cores are taken, the main thread, which reads requests and hands them
 * out, would wait for the end of somebody's slice of a core each time, some milliseconds that every request then waits; and while
 * it waits, threads that are through with their runs get no others.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** Beyond the process's own, as `nice` has it: enough that others go first, and not so much that a thread starves beside another process. */
const NICENESS = 5;
const NICEST = 19;

const TASKS = '/proc/self/task';
/** As node calls V8's threads. */
const HELPER = 'V8Worker';

/** Lets other threads of its process, and other processes, go before the calling thread. Returns where that cannot be had. */
export function giveWay(): void {
  orNot(() => setPriority(Number(readlinkSync('/proc/thread-self').split('/').at(-1)), nicer()));
}

/**
 * As `giveWay`, for the threads on which V8 compiles what has become hot and collects garbage: some four of them take all cores for
 * tens of milliseconds when requests first come as they never came before, a long queue above all.
 */
export function letHelpersGiveWay(): void {
  orNot(() => {
    for (const thread of readdirSync(TASKS))
      if (readFileSync(`${TASKS}/${thread}/comm`, 'utf8').trim() === HELPER)
        setPriority(Number(thread), nicer());
  });
}

/** A process that was itself started to be nice has threads that are nicer still. */
function nicer(): number {
  return Math.min(NICEST, getPriority(process.pid) + NICENESS);
}

/** A speed-up, and not to be had where /proc is not mounted. Elsewhere than on Linux priorities are those of whole processes. */
function orNot(act: () => void): void {
  if (process.platform !== 'linux') return;
  try {
    act();
  } catch {
    // As it was.
  }
}
