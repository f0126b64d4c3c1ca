/**
 * How much sooner a request could have been served, had all runs of late been as sparse as those in them allow: what each took
 * at its level less what it takes at the sparsest one, summed. A request that is late by more than that could not have been saved
 * by any choice of levels: the machine stood still, or there was too much to do for the sparsest, too.
 *
 *   since                               due             answered
 *    |  run at level 9, 8 ms, sparsest 2 |                  |    6 + 2 ms of excess: enough for who is 5 ms late,
 *    |===================|  level 4, 3 ms, sparsest 1       |    not behind a machine that stood still for 60 ms
 *    |                   |=======|       |                  |
 *
 * Pure: times and the clock come as arguments.
 */
export interface ExcessWork {
  /**
   * Of each run.
   * @param expectedMs that it takes at its level, at `leastMs` that it would at the sparsest
   * @param reserve see `Caution`: without it there would have been more excess
   * @returns to be called when it has ended
   */
  began(expectedMs: number, leastMs: number, reserve: number): (tookMs: number, nowMs: number) => void;
  /** Of runs that have ended since, and of those under way. */
  since(atMs: number): Excess;
}

export interface Excess {
  readonly excessMs: number;
  /** What it would have been without any reserve. */
  readonly boldMs: number;
}

/** A run that takes longer than expected takes longer at each level; from so many times on that has nothing to do with levels. */
const MOST = 3;
/** Runs that are kept: more than any request waits for. */
const KEPT = 1024;

export function excessWork(): ExcessWork {
  const underWay = new Set<Excess>();
  /** The latest last. */
  let ended: (Excess & { readonly atMs: number })[] = [];
  return {
    began(expectedMs, leastMs, reserve) {
      const excessMs = Math.max(0, expectedMs - leastMs);
      // With all the reserve there is, only requests that allow nothing sparser run at more.
      const run = { excessMs, boldMs: reserve < 1 ? excessMs / (1 - reserve) : excessMs };
      underWay.add(run);
      return (tookMs, nowMs) => {
        if (!underWay.delete(run) || excessMs === 0) return;
        const slower = Math.min(MOST, tookMs / expectedMs);
        ended.push({ atMs: nowMs, excessMs: run.excessMs * slower, boldMs: run.boldMs * slower });
        if (ended.length >= 2 * KEPT) ended = ended.slice(-KEPT);
      };
    },
    since(atMs) {
      let [excessMs, boldMs] = [0, 0];
      const add = (run: Excess) => {
        excessMs += run.excessMs;
        boldMs += run.boldMs;
      };
      for (const run of underWay) add(run);
      for (let i = ended.length - 1; i >= 0; i--) {
        const run = ended[i];
        if (run === undefined || run.atMs < atMs) break;
        add(run);
      }
      return { excessMs, boldMs };
    },
  };
}
