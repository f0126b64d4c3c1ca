/**
 * How careful the choice of levels is, as learnt from who was late. What is expected of runs leaves out what nobody foresees: a burst
 * that begins while all threads are at dense runs, a machine that is slow for a while. So each request that is late where a
 * sparser level could have saved it raises caution, each that is in time lowers it by as much less as there are to be more of them:
 * caution settles where one of so many is late, however that comes about, and is gone where none is. It begins in the middle, as a
 * machine that nothing is known of may be a bad one: what costs quality goes as requests are seen to be in time without it.
 *
 *   0           levels as they look right at present
 *   to 1/2      more and more ready for another burst: dense runs are short, and bursts of late are expected again
 *   from there  levels sparser than look right, too, which costs more
 *   1           the sparsest that requests allow
 */
export interface Caution {
  /** 0 to 1: how far to be ready for another burst. */
  readonly readiness: number;
  /** 0 to 1: how far below what looks right a level is to be. */
  readonly reserve: number;
  /** Of each run: whether it was denser than those in it asked for at least. */
  ran(isDenser: boolean, nowMs: number): void;
  /** Of each request with a deadline that allows a sparser level, when it has its answer or is given up. */
  ended(inTime: boolean, budgetMs: number, nowMs: number): void;
}

/** Share of requests that may be late: half of one in a thousand, as caution sways about it. */
const LATE = 0.0005;
/** By how much one that is late raises caution: dozens in a burst are to be felt in the next one. */
const STEP = 0.05;
const START = 0.5;

export function caution(): Caution {
  let value = START;
  let lastDenserMs = Number.NEGATIVE_INFINITY;
  return {
    get readiness() {
      return Math.min(1, 2 * value);
    },
    get reserve() {
      return Math.max(0, 2 * value - 1);
    },
    ran(isDenser, nowMs) {
      if (isDenser) lastDenserMs = nowMs;
    },
    ended(inTime, budgetMs, nowMs) {
      if (inTime) value = Math.max(0, value - STEP * LATE);
      // Where only the sparsest have run since it came, or little before, there was nothing to choose.
      else if (nowMs - lastDenserMs <= 2 * budgetMs) value = Math.min(1, value + STEP);
    },
  };
}
