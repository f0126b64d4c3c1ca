/** Whether a process is there, for who finds files that one may still use. */
import { readFileSync } from 'node:fs';

/** @param pid of this machine; a process of another user counts too */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (refusal) {
    return (refusal as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** This process as names of its files have it: an id alone comes again, in a container with every start. */
export function processMark(): string {
  return `${process.pid}.${startOf(process.pid) ?? 0}`;
}

/** @param mark what `processMark` was in a process of this machine */
export function isMarkAlive(mark: string): boolean {
  const [pid = 0, started = 0] = mark.split('.').map(Number);
  if (!(pid > 0) || !isAlive(pid)) return false;
  const start = startOf(pid);
  return start === undefined || started === 0 || start === started;
}

/** By the ticks of the machine's clock; undefined where /proc does not tell. */
function startOf(pid: number): number | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name before them may hold anything.
    return Number(fields.slice(fields.lastIndexOf(')') + 2).split(' ')[START_FIELD]);
  } catch {
    return undefined;
  }
}

/** As proc(5) has it: the 22nd, and the name is the second. */
const START_FIELD = 19;
