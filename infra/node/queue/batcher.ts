/**
 * Decides what an idle thread runs next: which waiting requests, together, at which level. Pure: times and the clock
 * come as arguments.
 *
 *   waiting, earliest deadline first     a|12 ms   b|15 ms   c|20 ms   d|20 ms   e|none
 *
 *   now                                  a is first: its level is the densest whose run fits into 12 ms
 *   |==== a alone, 5 ms ====|            12 ms
 *   |====== a b, 6 ms ======|            |          b, c join while the run, as measured, still ends by a's deadline
 *   |======== a b c, 8 ms ========|      |
 *   |=============== a b c d, 14 ms =====|=====|   too long for a: d waits for the next thread
 *
 * Of the sizes that fit, the largest with nearly the least time per row is taken; where batching loses, a runs alone.
 *
 * What is best for a alone can be the ruin of d. So before that, one level is found at which everything that waits can
 * be served in time, one run after the other, and that keeps up with what has been coming: nobody gets a denser one
 * (`sustainableLevel`, `steadyLevel`).
 */
import type { ArrivalMeter } from './arrival-meter.ts';
import type { QueueEntry, RequestQueue } from './request-queue.ts';

/** How long runs of a level and size took lately, as they are seen by who waits for them. */
export interface RunTimes {
  /** Under this nothing has ended: a deadline closer than that is hopeless. */
  readonly fastestMs: number;
  readonly p50Ms: number;
  /** A run that has this much time left is expected to end in time. */
  readonly p95Ms: number;
}

export interface BatchEntry extends QueueEntry {
  readonly level: number;
  /** The sparsest level that the request allows; its own level where it allows no other. */
  readonly minLevel: number;
  /** Leading dimension of its inputs. */
  readonly rows: number;
  /** Bucket of its sequences' length; 0 where inputs have none. */
  readonly length: number;
  /**
   * Entries with equal keys can be joined along the rows: their shapes are equal but for the rows, or for lengths of one
   * bucket where padding is exact, and they ask for the same outputs; undefined runs alone.
   */
  readonly shareKey: string | undefined;
}

export interface BatchRules {
  /** Most rows of requests that share a run. */
  readonly maxRows: number;
  /** undefined where nothing is known. */
  times(level: number, rows: number, length: number): RunTimes | undefined;
  /** Whether a level could run without being fetched first. */
  atHand(level: number): boolean;
}

export interface NextBatch<E> {
  /** Undefined when nothing that can still be served waits. */
  readonly batch: { readonly level: number; readonly entries: readonly [E, ...E[]] } | undefined;
  /** Entries met on the way that no allowed level can serve in time any more. */
  readonly hopeless: readonly E[];
}

/** What an idle thread is to know of the others and of what has been coming. */
export interface NodeLoad {
  readonly threads: number;
  /** Threads that could begin now. */
  readonly idle: number;
  readonly arrivals: Pick<ArrivalMeter, 'rate' | 'shortestBudgetMs'>;
}

/** How many of those that wait are looked at to choose a level. */
const FORESIGHT = 128;

/** Of the shortest budget that came lately, what a shared run may take: who comes next must not find all threads taken for too long. */
const LONGEST_SHARE = 0.5;

/** What an idle thread runs next: the level for all that waits and has been coming, the batch for those that are first. */
export function nextRun<E extends BatchEntry>(
  queue: Pick<RequestQueue<E>, 'length' | 'inOrder'>,
  nowMs: number,
  rules: BatchRules,
  { threads, idle, arrivals }: NodeLoad,
): NextBatch<E> {
  const waiting: E[] = [];
  for (const entry of queue.inOrder()) if (waiting.push(entry) >= FORESIGHT) break;
  const longestMs = LONGEST_SHARE * arrivals.shortestBudgetMs(nowMs);
  const choices = waiting.some(
    ({ level, minLevel, deadlineMs }) => deadlineMs !== undefined && minLevel < level,
  );
  const cap = choices
    ? Math.min(
        sustainableLevel(waiting, nowMs, rules, threads),
        steadyLevel(waiting, arrivals.rate(nowMs), rules, threads, longestMs),
      )
    : undefined;
  return nextBatch(queue.inOrder(), nowMs, rules, {
    maxEntries: Math.ceil(queue.length / idle),
    cap,
    longestMs,
  });
}

/** Times per row that differ by less than this factor count as equal. */
const NEARLY = 1.1;

export interface BatchBounds {
  /** Most entries to take, so that threads which are idle together share what waits. */
  readonly maxEntries: number;
  /** The densest level to be given, where entries allow it. */
  readonly cap?: number | undefined;
  /** That a run may take to which entries join. */
  readonly longestMs?: number | undefined;
}

/** @param inOrder what waits, in the order of service */
export function nextBatch<E extends BatchEntry>(
  inOrder: Iterable<E>,
  nowMs: number,
  rules: BatchRules,
  { maxEntries, cap = Number.POSITIVE_INFINITY, longestMs = Number.POSITIVE_INFINITY }: BatchBounds,
): NextBatch<E> {
  const hopeless: E[] = [];
  let head: E | undefined;
  let level = -1;
  let members: [E, ...E[]] | undefined;
  let rows = 0;
  let aloneMs = Number.POSITIVE_INFINITY;
  let best = { count: 1, perRowMs: aloneMs };
  for (const entry of inOrder) {
    const own = levelInTime(entry, nowMs, rules, cap);
    if (own === undefined) {
      hopeless.push(entry);
    } else if (head === undefined || members === undefined) {
      [head, level, members, rows] = [entry, own, [entry], entry.rows];
      aloneMs = perRow(rules.times(level, rows, entry.length), rows);
      best.perRowMs = aloneMs;
    } else if (own === level && entry.shareKey === head.shareKey && rows + entry.rows <= rules.maxRows) {
      const times = rules.times(level, rows + entry.rows, head.length);
      const leftMs = Math.min((head.deadlineMs ?? Number.POSITIVE_INFINITY) - nowMs, longestMs);
      if (times === undefined || times.p95Ms > leftMs) break;
      rows += entry.rows;
      members.push(entry);
      const perRowMs = perRow(times, rows);
      // A near tie goes to the larger batch: times vary by more than a little, more requests are on their way to each answer,
      // and sizes that were never run are estimated in proportion, and so get measured.
      if (perRowMs <= Math.min(aloneMs, best.perRowMs * NEARLY))
        best = { count: members.length, perRowMs: Math.min(perRowMs, best.perRowMs) };
    }
    if (members !== undefined && (members.length >= maxEntries || rows >= rules.maxRows)) break;
    if (head !== undefined && head.shareKey === undefined) break;
  }
  if (members === undefined) return { batch: undefined, hopeless };
  const [first, ...others] = members;
  return { batch: { level, entries: [first, ...others.slice(0, best.count - 1)] }, hopeless };
}

/**
 * The densest level allowed, up to `cap`, that is expected to end by the deadline; above `cap` only where none below is at
 * hand; else the sparsest allowed that has ever been fast enough; undefined when none has.
 */
export function levelInTime(
  { level, minLevel, rows, length, deadlineMs }: BatchEntry,
  nowMs: number,
  { times, atHand }: BatchRules,
  cap = Number.POSITIVE_INFINITY,
): number | undefined {
  if (deadlineMs === undefined) return level;
  const slackMs = deadlineMs - nowMs;
  if (slackMs <= 0) return undefined;
  const start = capped(level, minLevel, cap);
  let atBest: number | undefined;
  for (let step = 0; step <= level - minLevel; step++) {
    // Down from the cap to what is allowed, then up from it.
    const candidate = start - step >= minLevel ? start - step : minLevel + step;
    if (candidate !== level && !atHand(candidate)) continue;
    const known = times(candidate, rows, length);
    if (known === undefined) {
      // Nothing speaks against the level asked for; a step down is taken on evidence only.
      if (candidate === level) return level;
      continue;
    }
    if (known.p95Ms <= slackMs) return candidate;
    if (known.fastestMs <= slackMs && (atBest === undefined || candidate < atBest)) atBest = candidate;
  }
  return atBest;
}

function capped(level: number, minLevel: number, cap: number): number {
  return Math.max(minLevel, Math.min(level, cap));
}

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
  const perRows = new Map<string, number>();
  const perRowOf = (level: number, length: number): number => {
    const key = `${level} ${length}`;
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
 * @param waiting stands for what comes
 * @param rowsPerMs that have been coming
 * @param longestMs that a shared run may take
 */
export function steadyLevel(
  waiting: readonly BatchEntry[],
  rowsPerMs: number,
  rules: BatchRules,
  threads: number,
  longestMs = Number.POSITIVE_INFINITY,
): number {
  const [first] = waiting;
  if (first === undefined || rowsPerMs <= 0) return Number.POSITIVE_INFINITY;
  const { rows, length, shareKey } = first;
  const keepsUp = (level: number) => {
    const perRowMs =
      shareKey === undefined
        ? perRow(rules.times(level, rows, length), rows)
        : leastPerRow(level, length, rules.maxRows, rules, longestMs);
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
  return Math.max(0, low);
}

/** Of runs up to as many rows as there are, and as long as a shared one may take. */
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
    if (rows > 1 && known !== undefined && known.p95Ms > longestMs) break;
    least = Math.min(least, perRow(known, rows));
  }
  return Number.isFinite(least) ? least : 0;
}

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
  const leastPerRow = new Map<string, number>();
  let sumMs = 0;
  for (const { deadlineMs, minLevel, rows, length, shareKey } of inOrder) {
    if ((deadlineMs ?? Number.POSITIVE_INFINITY) > last) break;
    const aloneMs = rules.times(minLevel, rows, length)?.fastestMs ?? 0;
    const key = `${minLevel} ${length}`;
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

function perRow(times: RunTimes | undefined, rows: number): number {
  return times === undefined ? Number.POSITIVE_INFINITY : times.p50Ms / rows;
}
