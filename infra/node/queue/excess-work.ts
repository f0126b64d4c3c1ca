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
  /** As many as there are threads. */
  const underWay: Excess[] = [];
  /** The latest last. In arrays of numbers: objects that live this long are collected with all of the heap only, for which runs wait. */
  const endedAtMs = new Float64Array(2 * KEPT);
  const endedExcessMs = new Float64Array(2 * KEPT);
  const endedBoldMs = new Float64Array(2 * KEPT);
  let count = 0;
  const keep = (atMs: number, excessMs: number, boldMs: number) => {
    if (count === 2 * KEPT) {
      for (const numbers of [endedAtMs, endedExcessMs, endedBoldMs]) numbers.copyWithin(0, KEPT);
      count = KEPT;
    }
    endedAtMs[count] = atMs;
    endedExcessMs[count] = excessMs;
    endedBoldMs[count] = boldMs;
    count++;
  };
  return {
    began(expectedMs, leastMs, reserve) {
      const excessMs = Math.max(0, expectedMs - leastMs);
      // With all the reserve there is, only requests that allow nothing sparser run at more.
      const run = { excessMs, boldMs: reserve < 1 ? excessMs / (1 - reserve) : excessMs };
      underWay.push(run);
      return (tookMs, nowMs) => {
        const at = underWay.indexOf(run);
        if (at < 0) return;
        underWay.splice(at, 1);
        if (excessMs === 0) return;
        const slower = Math.min(MOST, tookMs / expectedMs);
        keep(nowMs, run.excessMs * slower, run.boldMs * slower);
      };
    },
    since(atMs) {
      let [excessMs, boldMs] = [0, 0];
      for (const run of underWay) {
        excessMs += run.excessMs;
        boldMs += run.boldMs;
      }
      for (let i = count - 1; i >= 0 && (endedAtMs[i] ?? 0) >= atMs; i--) {
        excessMs += endedExcessMs[i] ?? 0;
        boldMs += endedBoldMs[i] ?? 0;
      }
      return { excessMs, boldMs };
    },
  };
}
