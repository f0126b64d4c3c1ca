/** A fault of one level, told as such. */
import { SppError } from '../../../schema/errors.ts';
import type { Manifest } from '../../../schema/manifest.ts';

/** Other levels may be served all the same. An unforeseen cause shows nothing of its own. */
export function unavailable(
  manifest: Manifest,
  level: number,
  cause: unknown,
  retryAfterS: number,
): SppError {
  const known = cause instanceof SppError;
  if (known && cause.code === 'unknown-level') return cause;
  return new SppError(
    'level-unavailable',
    `Level ${level} of ${manifest.model.id} cannot be served: ${known ? cause.message : 'its files cannot be read.'}`,
    {
      cause,
      retryAfterS,
      hint: 'Levels that do not need this file are served; the node tries again by itself.',
      details: { level, reason: known ? cause.code : 'bad-artifact' },
    },
  );
}

/** Whether a level that could not be had is only out of reach for the moment; true where there was no fault. */
export function mayCome(fault: unknown): boolean {
  return fault === undefined || (fault instanceof SppError && fault.details?.reason === 'not-ready');
}
