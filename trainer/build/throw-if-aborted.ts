/** Where a build may be interrupted. */
import { SppError } from '../../schema/errors.ts';

/** @throws `interrupted`: what was to be kept must have been written by then */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  throw new SppError(
    'interrupted',
    'The build was interrupted; its checkpoint is kept where it had come to one.',
    {
      hint: 'Run the same command with --resume to go on.',
    },
  );
}
