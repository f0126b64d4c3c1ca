/** What is said of a file or directory of data that is not there, or may not be read. */
import { SppError } from '../../schema/errors.ts';

/** @param what it was to be, as in "data file" */
export function unreadable(what: string, path: string, cause: unknown): SppError {
  const reason = cause instanceof Error ? `: ${cause.message}` : '';
  return new SppError('bad-data', `The ${what} ${path} cannot be read${reason}.`, {
    hint: 'Check the path and its permissions.',
    cause,
  });
}
