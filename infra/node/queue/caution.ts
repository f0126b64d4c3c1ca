/**
 * How careful the choice of levels is, as learnt from how requests fare. What is expected of runs leaves out what nobody foresees: a
 * burst that begins while all threads are at dense runs, a machine that is slow for a while.
 *
 *   0           levels as they look right at present
 *   to 1/2      more and more ready for another burst: dense runs are short, and bursts of late are expected again
 *   from there  levels sparser than look right, too, which costs more
 *   1           the sparsest that requests allow
 *
 * It begins at 1/2, as a machine that nothing is known of may be a bad one, and goes while requests have time to spare. Two kinds of
 * requests raise it, where a sparser level would have helped them; a machine that stood still says nothing about levels (`excess-work.ts`).
 *
 * - Those that came close to being late, to 1/2 at most. There are many more of them than of late ones: it is known after some
 *   hundreds of requests whether they come, and of late ones after tens of thousands. Where budgets are roomy they count for less: what a
 *   burst finds under way is a small part of what it has then.
 * - Those that were late, to what would have saved them. Each that is in time lowers it by as much less as there are to be more of
 *   them: it settles where one of so many is late, however that comes about.
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
/** By how much each request raises caution: dozens in a burst are to be felt in the next one. */
const STEP = 0.05;
/** Share of its budget from which on a request came close to being late. */
const CLOSE = 0.7;
/** Share of requests that may come close. */
const CLOSE_SHARE = 0.004;
/** Most that those raise caution to: levels are as they look right. */
const READY = 0.5;
/** Up to so many runs at the level asked for a budget is tight. */
const TIGHT = 5;

export function caution(): Caution {
  let fromLate = 0;
  let fromClose = READY;
  const excess = excessWork();
  return {
    at(exposure) {
      // A shorter run is met more rarely by a burst, and takes less from it.
      const value = Math.max(fromLate, fromClose * Math.min(1, TIGHT * exposure) ** 2);
      return { readiness: Math.min(1, 2 * value), reserve: reserveOf(value) };
    },
    began: (expectedMs, leastMs) => excess.began(expectedMs, leastMs, reserveOf(fromLate)),
    ended(lateMs, cameMs, budgetMs) {
      const closeMs = lateMs + (1 - CLOSE) * budgetMs;
      if (lateMs <= 0) fromLate = Math.max(0, fromLate - STEP * LATE);
      if (closeMs <= 0) {
        fromClose = Math.max(0, fromClose - STEP * CLOSE_SHARE);
        return;
      }
      // Who waits when it comes does so because of the runs before it.
      const before = excess.since(cameMs - budgetMs);
      if (lateMs > 0)
        fromLate = Math.max(fromLate, Math.min(Math.max(fromLate, fromClose) + STEP, enough(lateMs, before)));
      if (enough(closeMs, before) > 0) fromClose = Math.min(READY, fromClose + STEP);
    },
  };
}

function reserveOf(value: number): number {
  return Math.max(0, 2 * value - 1);
}

/** With how much caution a request would have had its answer so much sooner; 0 where no level could have saved that. */
function enough(lateMs: number, { excessMs, boldMs }: Excess): number {
  if (lateMs > excessMs) return 0;
  const reserve = (boldMs - excessMs + lateMs) / boldMs;
  return (1 + reserve) / 2;
}
