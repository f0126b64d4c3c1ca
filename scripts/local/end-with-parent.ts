/**
 * Children that end with this process even when it is killed and cannot stop them: otherwise a gateway without its keeper would hold
 * ports and database of the next one. A shell waits for the end of a pipe that closes with this process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { basename } from 'node:path';

/** @returns lets the child be, for when it has ended or is to go on */
export function endWithParent({ pid }: ChildProcess): () => void {
  if (pid === undefined) return () => {};
  const guard = spawn('sh', ['-c', 'read -r _; kill -KILL "$1" 2>/dev/null', 'sh', String(pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // Not in this process's group: a signal to all of that must not reach it first.
    detached: true,
  });
  // Where there is no shell, children outlive a killed parent, and nothing else is different.
  guard.on('error', () => {});
  guard.unref();
  guard.stdin.on('error', () => {});
  (guard.stdin as { unref?: () => void }).unref?.();
  return () => void guard.kill('SIGKILL');
}

/**
 * Notes the processes of a program that are made from now on, for who has them made by something that does not say, and has them end
 * with this one from their beginning.
 * @param program the name of its file
 * @returns ends that, and tells those that run, with what lets them be
 */
export function noteChildren(program: string): () => { readonly child: ChildProcess; letGo(): void }[] {
  const made: { readonly child: ChildProcess; letGo(): void }[] = [];
  const note = (message: unknown) => {
    const { process: child } = message as { process: ChildProcess };
    // Not known yet what it runs.
    child.once('spawn', () => {
      if (basename(child.spawnfile, '.exe') === program) made.push({ child, letGo: endWithParent(child) });
    });
  };
  subscribe('child_process', note);
  return () => {
    unsubscribe('child_process', note);
    return made.filter(({ child }) => child.exitCode === null && child.signalCode === null);
  };
}
