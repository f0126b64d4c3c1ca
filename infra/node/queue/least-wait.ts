/** How long an entry waits at best: what admission asks. Pure. */
import { type BatchEntry, type BatchRules, LEVELS } from './batcher.ts';

/**
 * The least time that the entries which go before `entry` can take on `threads` threads, were every run of theirs the
 * fastest and best shared one known.
 */
export function leastWaitMs<E extends BatchEntry>(
  inOrder: Iterable<E>,
  entry: E,
  rules: BatchRules,
  threads: number,
): number {
  const last = entry.deadlineMs ?? Number.POSITIVE_INFINITY;
  const leastPerRow = new Map<number, number>();
  let sumMs = 0;
  for (const { deadlineMs, minLevel, rows, length, shareKey } of inOrder) {
    if ((deadlineMs ?? Number.POSITIVE_INFINITY) > last) break;
    const aloneMs = rules.times(minLevel, rows, length)?.fastestMs ?? 0;
    const key = minLevel + LEVELS * length;
    const perRowMs = leastPerRow.get(key) ?? fastestPerRow(minLevel, length, rules);
    leastPerRow.set(key, perRowMs);
    sumMs += shareKey === undefined ? aloneMs : Math.min(aloneMs, perRowMs * rows);
  }
  return sumMs / threads;
}

function fastestPerRow(level: number, length: number, { maxRows, times }: BatchRules): number {
  let least = Number.POSITIVE_INFINITY;
  for (let rows = 1; rows <= maxRows; rows++)
    least = Math.min(least, (times(level, rows, length)?.fastestMs ?? 0) / rows);
  return least;
}
