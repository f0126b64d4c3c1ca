/**
 * How far below what looks right levels are chosen, as learnt from who was late. What is expected of runs leaves out what nobody
 * foresees: a burst that begins while all threads are at dense runs, a pause of the machine. So each request that is late where a
 * sparser level could have saved it raises caution, each that is in time lowers it by as much less as there are to be more of them:
 * caution settles where one of so many is late, however that comes about, and is gone where none is.
 *
 *   caution 0: levels as they are chosen; 1: the sparsest that requests allow
 */
export interface Caution {
  /** 0 to 1. */
  readonly value: number;
  /** Of each run: whether it was denser than those in it asked for at least. */
  ran(isDenser: boolean, nowMs: number): void;
  /** Of each request with a deadline that allows a sparser level, when it has its answer or is given up. */
  ended(inTime: boolean, budgetMs: number, nowMs: number): void;
}

/** Share of requests that may be late. */
const LATE = 0.001;
/** By how much one that is late raises caution: dozens in a burst are to be felt in the next one. */
const STEP = 0.02;

export function caution(): Caution {
  let value = 0;
  let lastDenserMs = Number.NEGATIVE_INFINITY;
  return {
    get value() {
      return value;
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
