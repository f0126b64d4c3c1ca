/** Making directories where anything may be in the way. Node only. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes a directory with those above it, unless it is there. `recursive` of `mkdir` itself tries for ever where nothing can be made
 * and the system says that nothing is there, as under /proc.
 * @param mode of directories that are made
 * @throws what the system says
 */
export async function makeDirectory(path: string, mode?: number): Promise<void> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    await makeDirectory(dirname(path), mode);
    await mkdir(path, { mode }).catch(async (again: NodeJS.ErrnoException) => {
      // Another process may have been quicker.
      if (again.code !== 'EEXIST' || !(await stat(path)).isDirectory()) throw again;
    });
  }
}
