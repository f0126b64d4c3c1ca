/**
 * How careful the choice of levels is, as learnt from who was late. What is expected of runs leaves out what nobody foresees: a burst
 * that begins while all threads are at dense runs, a machine that is slow for a while. So each request that is late where a
 * sparser level would have saved it raises caution, to no more than would have saved it; each that is in time lowers it by as much less
 * as there are to be more of them: caution settles where one of so many is late, however that comes about, and is gone where none is.
 * Who is late because the machine stood still says nothing about levels (`excess-work.ts`). It begins in the middle, as a
 * machine that nothing is known of may be a bad one: what costs quality goes as requests are seen to be in time without it.
 *
 *   0           levels as they look right at present
 *   to 1/2      more and more ready for another burst: dense runs are short, and bursts of late are expected again
 *   from there  levels sparser than look right, too, which costs more
 *   1           the sparsest that requests allow
 */
import { type Excess, excessWork } from './excess-work.ts';

export interface Caution {
  /** 0 to 1: how far to be ready for another burst. */
  readonly readiness: number;
  /** 0 to 1: how far below what looks right a level is to be. */
  readonly reserve: number;
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
const START = 0.5;

export function caution(): Caution {
  let value = START;
  const excess = excessWork();
  const reserve = () => Math.max(0, 2 * value - 1);
  return {
    get readiness() {
      return Math.min(1, 2 * value);
    },
    get reserve() {
      return reserve();
    },
    began: (expectedMs, leastMs) => excess.began(expectedMs, leastMs, reserve()),
    ended(lateMs, cameMs, budgetMs) {
      if (lateMs <= 0) value = Math.max(0, value - STEP * LATE);
      else {
        // Who waits when it comes does so because of the runs before it.
        const needed = enough(lateMs, excess.since(cameMs - budgetMs));
        value = Math.max(value, Math.min(value + STEP, needed));
      }
    },
  };
}

/** With how much caution a request would not have been late; 0 where no level could have saved it. */
function enough(lateMs: number, { excessMs, boldMs }: Excess): number {
  if (lateMs > excessMs) return 0;
  const reserve = (boldMs - excessMs + lateMs) / boldMs;
  return (1 + reserve) / 2;
}
