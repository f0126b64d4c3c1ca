/**
 * The time on a core that a process has had, of all its threads: what a request costs, which tells small differences that
 * times of requests hide. Only Linux tells it; NaN elsewhere.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

/** @returns microseconds so far; NaN for a process that is not there */
export function cpuTimeUs(pid: number): number {
  try {
    let ns = 0;
    for (const thread of readdirSync(`/proc/${pid}/task`))
      ns += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
    return ns / 1000;
  } catch {
    return Number.NaN;
  }
}

/** What `start` comes to, and the last process of a program that this one has begun meanwhile; NaN where that cannot be told. */
export async function withProcess<T>(
  program: string,
  start: () => Promise<T>,
): Promise<{ started: T; pid: number }> {
  const before = new Set(children());
  const started = await start();
  const begun = children().filter((pid) => !before.has(pid));
  return { started, pid: begun.findLast((pid) => programOf(pid) === program) ?? Number.NaN };
}

/** The name of its file. */
function programOf(pid: number): string {
  try {
    return basename(readlinkSync(`/proc/${pid}/exe`));
  } catch {
    return '';
  }
}

/** Of this process, begun by any of its threads, and not ended; in order of their ids. */
function children(): number[] {
  try {
    const threads = readdirSync('/proc/self/task');
    const of = (thread: string) => readFileSync(`/proc/self/task/${thread}/children`, 'utf8');
    const all = threads.flatMap((thread) => of(thread).split(' ').filter(Boolean).map(Number));
    return all.sort((a, b) => a - b);
  } catch {
    return [];
  }
}
