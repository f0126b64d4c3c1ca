/**
 * Makes up a run: which waiting requests, together, at which level. Pure: times and the clock come as arguments.
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
 */
import type { QueueEntry } from './request-queue.ts';

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

/** More than any model has: what is known of a level and a length goes by `level + LEVELS * length`. */
export const LEVELS = 2 ** 20;

/** Share of the time left that a run usually takes which can be late, but most likely is not. */
const LIKELY = 0.5;

/** Where others' being late counts as well, it may be late with a chance that is weighed against theirs. */
const USUAL = 0.8;

/** Times per row that differ by less than this factor count as equal. */
const NEARLY = 1.1;

/** What a run to which entries join may usually take. */
export interface LongestRun {
  /** At the sparsest level that its first entry allows. */
  readonly sparsestMs: number;
  /** At a denser one. */
  readonly denserMs: number;
}

export interface BatchBounds {
  /** Most entries to take, so that threads which are idle together share what waits. */
  readonly maxEntries: number;
  /** The densest level to be given, where entries allow it. */
  readonly cap?: number | undefined;
  /** See `longestOf`; without bound unless told. */
  readonly longest?: LongestRun | undefined;
  /** Whether others may join while the first one is usually in time with them: it need not be as sure as alone. */
  readonly isLikelyEnough?: boolean | undefined;
}

/** @param inOrder what waits, in the order of service */
export function nextBatch<E extends BatchEntry>(
  inOrder: Iterable<E>,
  nowMs: number,
  rules: BatchRules,
  { maxEntries, cap = Number.POSITIVE_INFINITY, longest, isLikelyEnough = false }: BatchBounds,
): NextBatch<E> {
  const hopeless: E[] = [];
  let head: E | undefined;
  let level = -1;
  let members: [E, ...E[]] | undefined;
  let rows = 0;
  let alone: RunTimes | undefined;
  let aloneMs = Number.POSITIVE_INFINITY;
  let best = { count: 1, perRowMs: aloneMs };
  for (const entry of inOrder) {
    const own = levelInTime(entry, nowMs, rules, cap);
    if (own === undefined) {
      hopeless.push(entry);
    } else if (head === undefined || members === undefined) {
      [head, level, members, rows] = [entry, own, [entry], entry.rows];
      alone = rules.times(level, rows, entry.length);
      aloneMs = perRow(alone, rows);
      best.perRowMs = aloneMs;
    } else if (own === level && entry.shareKey === head.shareKey && rows + entry.rows <= rules.maxRows) {
      const times = rules.times(level, rows + entry.rows, head.length);
      const slackMs = (head.deadlineMs ?? Number.POSITIVE_INFINITY) - nowMs;
      if (
        times === undefined ||
        times.p50Ms > longestOf(longest, head, level) ||
        !(isLikelyEnough ? times.p50Ms <= USUAL * slackMs : leavesTime(times, alone, slackMs))
      )
        break;
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
 * Whether others may join the first one: as its run is expected to end in time all the same, or, where that cannot be expected even of
 * a run alone, as it is still likely to. What makes times vary, threads that wait for a core above all, hardly depends on how many rows
 * there are: to run one by one for its sake leaves more work behind, and saves nobody.
 */
function leavesTime(times: RunTimes, alone: RunTimes | undefined, slackMs: number): boolean {
  if (times.p95Ms <= slackMs) return true;
  return alone !== undefined && alone.p95Ms > slackMs && times.p50Ms <= LIKELY * slackMs;
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

/** The level that an entry is given where none is to be denser than `cap`. */
export function capped(level: number, minLevel: number, cap: number): number {
  return Math.max(minLevel, Math.min(level, cap));
}

/**
 * What a shared run may usually take at a level. A sparse run is as long as many rows make it, which is how a burst is served; what
 * is denser than its first entry asks at least is so for quality alone, and who comes next must not be late for that.
 */
export function longestOf(longest: LongestRun | undefined, { minLevel }: BatchEntry, level: number): number {
  if (longest === undefined) return Number.POSITIVE_INFINITY;
  return level > minLevel ? longest.denserMs : longest.sparsestMs;
}

/** Infinite where nothing is known. */
export function perRow(times: RunTimes | undefined, rows: number): number {
  return times === undefined ? Number.POSITIVE_INFINITY : times.p50Ms / rows;
}
