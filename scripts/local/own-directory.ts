/** A data directory is one process's at a time: two gateways on one database lock each other out, and each would spend its budgets. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory } from '../../schema/artifact/make-directory.ts';
import { SppError } from '../../schema/errors.ts';
import { isMarkAlive, processMark } from '../../schema/process-alive.ts';

const MARK_FILE = 'running';

/**
 * Until what is returned is called, or this process ends, however it does.
 * @returns gives the directory back
 * @throws `usage` where another process of this machine has it, or it takes no files
 */
export async function ownDirectory(directory: string): Promise<() => Promise<void>> {
  const file = join(directory, MARK_FILE);
  while (!(await orUnusable(directory, isNew(directory, file)))) {
    const owner = await readFile(file, 'utf8').catch(() => '');
    if (isMarkAlive(owner))
      throw new SppError('usage', `${directory} is in use by the process ${owner.split('.')[0]}.`, {
        hint: 'Stop that one, or choose another with --data-dir.',
      });
    await rm(file, { force: true });
  }
  return () => rm(file, { force: true });
}

/** Writes who has it, unless the file is there. */
async function isNew(directory: string, file: string): Promise<boolean> {
  await makeDirectory(directory);
  try {
    await writeFile(file, processMark(), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

async function orUnusable<T>(directory: string, work: Promise<T>): Promise<T> {
  return work.catch((cause: Error) => {
    throw new SppError('usage', `${directory} cannot be the data directory: ${cause.message}.`, {
      hint: 'Choose one that may be written to with --data-dir.',
      cause,
    });
  });
}
