/** How much memory there is: a container may get less than its machine has, and is ended when it takes more. */
import { totalmem } from 'node:os';

/** Bytes that this process may have: the machine's, or what its container is limited to. */
export function machineMemory(): number {
  // Without a limit it is 0, or more than any machine has.
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
