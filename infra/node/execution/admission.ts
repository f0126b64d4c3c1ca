/** What need not wait, because it would wait in vain, and why. Pure. */
import { SppError } from '../../../schema/errors.ts';
import { type BatchEntry, type BatchRules, levelInTime } from '../queue/batcher.ts';
import { leastWaitMs } from '../queue/least-wait.ts';
import type { RequestQueue } from '../queue/request-queue.ts';

/**
 * @param queue what waits already
 * @param threads how many there are, and how many could begin now
 * @returns `budget-overrun` (its time is over), `budget-infeasible` (no allowed level has ever been that fast), `deadline-hopeless`
 * (what goes before it takes too long, at best), or undefined where it may yet be in time
 */
export function admissionRefusal<E extends BatchEntry>(
  entry: E,
  nowMs: number,
  queue: Pick<RequestQueue<E>, 'length' | 'inOrder'>,
  rules: BatchRules,
  threads: { readonly size: number; readonly idle: number },
): SppError | undefined {
  const { level, minLevel, deadlineMs } = entry;
  if (deadlineMs === undefined) return undefined;
  const slackMs = deadlineMs - nowMs;
  if (slackMs <= 0) return overrun();
  if (levelInTime(entry, nowMs, rules) === undefined)
    return new SppError(
      'budget-infeasible',
      `No allowed level has ever answered within the ${slackMs.toFixed(1)} ms that are left.`,
      {
        hint: 'Allow more time, or ask for a sparser level.',
        details: { level, minLevel },
        retryAfterS: 1,
      },
    );
  if (threads.idle > 0) return undefined;
  const waitMs = leastWaitMs(queue.inOrder(), entry, rules, threads.size);
  if (levelInTime(entry, nowMs + waitMs, rules) !== undefined) return undefined;
  return new SppError(
    'deadline-hopeless',
    `Requests with earlier deadlines take at least ${waitMs.toFixed(1)} ms, too long for the ${slackMs.toFixed(1)} ms that are left.`,
    {
      hint: 'Ask another node, or allow more time.',
      details: { queueLength: queue.length },
      retryAfterS: waitMs / 1000,
    },
  );
}

/** Of what waited until no level could be fast enough any more. */
export function overrun(): SppError {
  return new SppError('budget-overrun', 'The latency budget ran out while the request waited for a worker.', {
    hint: 'Allow more time, or ask for a sparser level.',
    retryAfterS: 1,
  });
}
