/** Waiting for something that may come too late. */
import { SppError } from '../../../schema/errors.ts';

/**
 * What `work` resolves to, unless the deadline passes or nobody waits any more; `work` goes on for others.
 * @param deadlineMs on the clock of `performance.now()`
 * @throws `budget-overrun`, the signal's reason, or what `work` rejects with
 */
export async function before<T>(
  deadlineMs: number | undefined,
  signal: AbortSignal | undefined,
  work: Promise<T>,
): Promise<T> {
  const gaveUp = Promise.withResolvers<never>();
  const onAbort = () => gaveUp.reject(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  const timer =
    deadlineMs === undefined
      ? undefined
      : setTimeout(
          () =>
            gaveUp.reject(
              new SppError(
                'budget-overrun',
                'The latency budget ran out while the level was still being fetched.',
                {
                  hint: 'Allow a sparser level, or try again later.',
                  retryAfterS: 1,
                },
              ),
            ),
          Math.max(0, deadlineMs - performance.now()),
        );
  try {
    return await Promise.race([work, gaveUp.promise]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}
