/** Levels that all can have: at which what waits is in time, and at which what has been coming is kept up with. Pure. */
import {
  type BatchEntry,
  type BatchRules,
  capped,
  LEVELS,
  type LongestRun,
  longestOf,
  perRow,
} from './batcher.ts';

/**
 * The densest level at which all that waits is expected to be in time, if it is served in order by so many threads, in runs as
 * large as they come: entries that ask for less get less, those that allow no sparser one keep theirs. 0 where none is.
 * @param waiting in the order of service; what has no deadline comes last and is not looked at
 */
export function sustainableLevel(
  waiting: readonly BatchEntry[],
  nowMs: number,
  rules: BatchRules,
  threads: number,
): number {
  const due = waiting.filter(({ deadlineMs }) => deadlineMs !== undefined);
  const allRows = due.reduce((sum, { rows }) => sum + rows, 0);
  const perRows = new Map<number, number>();
  const perRowOf = (level: number, length: number): number => {
    const key = level + LEVELS * length;
    const known = perRows.get(key) ?? leastPerRow(level, length, allRows, rules);
    perRows.set(key, known);
    return known;
  };
  const inTime = (cap: number): boolean => {
    let workMs = 0;
    for (const [i, { level, minLevel, rows, length, shareKey, deadlineMs = 0 }] of due.entries()) {
      const at = capped(level, minLevel, cap);
      const alone = rules.times(at, rows, length);
      if (alone === undefined) continue;
      const together =
        shareKey !== undefined && i > 0 ? Math.max(rows, Math.min(rules.maxRows, allRows)) : rows;
      const runMs = (rules.times(at, together, length) ?? alone).p95Ms;
      const slackMs = deadlineMs - nowMs;
      // What is lost at any level says nothing about which to take.
      if (workMs / threads + runMs > slackMs && alone.fastestMs <= slackMs) return false;
      workMs += shareKey === undefined ? alone.p50Ms : perRowOf(at, length) * rows;
    }
    return true;
  };
  let [low, high] = [0, Math.max(0, ...due.map(({ level }) => level))];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (inTime(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

/**
 * The densest level at which the threads keep up with what has been coming; without bound where the densest that anybody waits for will do.
 * Quality is a concave function of the work, nearly always: some at a level between are better than few dense ones and many sparse ones.
 * Levels are steps, and such a one leaves threads idle now and then: while little waits, it is the next one.
 * @param waiting stands for what comes
 * @param rowsPerMs that have been coming
 * @param littleMs so much work of all threads counts as little
 * @param longest that a shared run may usually take; without bound unless told
 */
export function steadyLevel(
  waiting: readonly BatchEntry[],
  rowsPerMs: number,
  rules: BatchRules,
  threads: number,
  littleMs: number,
  longest?: LongestRun,
): number {
  const [first] = waiting;
  if (first === undefined || rowsPerMs <= 0) return Number.POSITIVE_INFINITY;
  const { rows, length, shareKey } = first;
  const perRowAt = (level: number) =>
    shareKey === undefined
      ? perRow(rules.times(level, rows, length), rows)
      : leastPerRow(level, length, rules.maxRows, rules, longestOf(longest, first, level));
  const keepsUp = (level: number) => {
    const perRowMs = perRowAt(level);
    return !Number.isFinite(perRowMs) || perRowMs * rowsPerMs <= threads;
  };
  const densest = Math.max(...waiting.map(({ level }) => level));
  if (keepsUp(densest)) return Number.POSITIVE_INFINITY;
  let [low, high] = [0, densest - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (keepsUp(middle)) low = middle;
    else high = middle - 1;
  }
  if (littleMs <= 0 || !keepsUp(low)) return Math.max(0, low);
  const waitingRows = waiting.reduce((sum, entry) => sum + entry.rows, 0);
  return waitingRows * perRowAt(low) <= littleMs * threads ? low + 1 : low;
}

/** Of runs up to as many rows as there are, and as long as a shared one may usually take. */
function leastPerRow(
  level: number,
  length: number,
  most: number,
  { maxRows, times }: BatchRules,
  longestMs = Number.POSITIVE_INFINITY,
): number {
  let least = Number.POSITIVE_INFINITY;
  for (let rows = 1; rows <= Math.min(maxRows, most); rows++) {
    const known = times(level, rows, length);
    if (rows > 1 && known !== undefined && known.p50Ms > longestMs) break;
    least = Math.min(least, perRow(known, rows));
  }
  return Number.isFinite(least) ? least : 0;
}
