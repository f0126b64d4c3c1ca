/**
 * How careful the choice of levels is, as learnt from who was late. What is expected of runs leaves out what nobody foresees: a burst
 * that begins while all threads are at dense runs, a machine that is slow for a while. So each request that is late where a
 * sparser level would have saved it raises caution, to no more than would have saved it; each that is in time lowers it by as much less
 * as there are to be more of them: caution settles where one of so many is late, however that comes about, and is gone where none is.
 * Who is late because the machine stood still says nothing about levels (`excess-work.ts`). It begins in the middle, as a
 * machine that nothing is known of may be a bad one: what costs quality goes as requests are seen to be in time without it. Where budgets
 * are roomy it begins lower: what a burst finds under way is then a small part of what it has.
 *
 *   0           levels as they look right at present
 *   to 1/2      more and more ready for another burst: dense runs are short, and bursts of late are expected again
 *   from there  levels sparser than look right, too, which costs more
 *   1           the sparsest that requests allow
 */
import { type Excess, excessWork } from './excess-work.ts';

/** What a choice of levels goes by. */
export interface Care {
  /** 0 to 1: how far to be ready for another burst. */
  readonly readiness: number;
  /** 0 to 1: how far below what looks right a level is to be. */
  readonly reserve: number;
}

export interface Caution {
  /** @param exposure what a run at the level asked for usually takes, as a share of the shortest budget: what a burst may find under way */
  at(exposure: number): Care;
  /**
   * Of each run.
   * @param expectedMs that it takes at its level, at `leastMs` that it would at the sparsest that all in it allow
   * @returns to be called when it has ended
   */
  began(expectedMs: number, leastMs: number): (tookMs: number, nowMs: number) => void;
  /**
   * Of each request with a deadline that allows a sparser level, when it has its answer or is given up.
   * @param lateMs not above 0 where it is in time
   */
  ended(lateMs: number, cameMs: number, budgetMs: number): void;
}

/** Share of requests that may be late: half of one in a thousand, as caution sways about it. */
const LATE = 0.0005;
/** By how much one that is late raises caution: dozens in a burst are to be felt in the next one. */
const STEP = 0.05;
/** Where nobody was late yet, and budgets are tight. */
const START = 0.5;
/** Up to so many runs at the level asked for a budget is tight. */
const TIGHT = 5;

export function caution(): Caution {
  /** From those who were late; and as long as too few were in time to know. */
  let learnt = 0;
  let assumed = START;
  const excess = excessWork();
  return {
    at(exposure) {
      // A shorter run is met more rarely by a burst, and takes less from it.
      const value = Math.max(learnt, assumed * Math.min(1, TIGHT * exposure) ** 2);
      return { readiness: Math.min(1, 2 * value), reserve: reserveOf(value) };
    },
    began: (expectedMs, leastMs) => excess.began(expectedMs, leastMs, reserveOf(learnt)),
    ended(lateMs, cameMs, budgetMs) {
      if (lateMs <= 0) {
        learnt = Math.max(0, learnt - STEP * LATE);
        assumed = Math.max(0, assumed - STEP * LATE);
      } else {
        // Who waits when it comes does so because of the runs before it.
        const needed = enough(lateMs, excess.since(cameMs - budgetMs));
        learnt = Math.max(learnt, Math.min(Math.max(learnt, assumed) + STEP, needed));
      }
    },
  };
}

function reserveOf(value: number): number {
  return Math.max(0, 2 * value - 1);
}

/** With how much caution a request would not have been late; 0 where no level could have saved it. */
function enough(lateMs: number, { excessMs, boldMs }: Excess): number {
  if (lateMs > excessMs) return 0;
  const reserve = (boldMs - excessMs + lateMs) / boldMs;
  return (1 + reserve) / 2;
}
