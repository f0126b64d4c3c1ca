/** Whether a process is there, for who finds files that one may still use. */

/** @param pid of this machine; a process of another user counts too */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (refusal) {
    return (refusal as NodeJS.ErrnoException).code === 'EPERM';
  }
}
