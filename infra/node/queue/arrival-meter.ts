/** What has been coming lately, so that a level and a batch are chosen for what comes next as well as for what waits. Pure. */

export interface ArrivalMeter {
  /** @param budgetMs what it may take; undefined for as long as it takes */
  arrived(rows: number, budgetMs: number | undefined, nowMs: number): void;
  rates(nowMs: number): ArrivalRates;
  /** The shortest budget; infinite where nothing with a budget came. */
  shortestBudgetMs(nowMs: number): number;
  /** Since the last arrival with a budget; infinite where none came. */
  sinceBudgetMs(nowMs: number): number;
}

/** Rows a millisecond; 0 where too little has come to tell. */
export interface ArrivalRates {
  /** As `present`, less what may be chance of what came in so short a time. */
  readonly sure: number;
  /**
   * Over what came lately or over as long as its budgets are in the mean, whichever is more: in so short a time
   * a burst makes late what waits, long before it shows in the former.
   */
  readonly present: number;
  /**
   * Of the worst burst lately, which fades within some seconds: bursts come again, and where levels have climbed meanwhile the next one
   * finds all threads at long runs. Over as long as budgets are, less what may be chance: requests that come evenly make no bursts.
   */
  readonly burst: number;
}

/** Arrivals that are looked at: enough to tell a rate from chance, few enough to see a burst while it lasts. */
const KEPT = 256;
const FEWEST = 8;
/** Standard deviations of a count of arrivals that chance may have made, where they come independently: its square root each. */
const CHANCE = 2;
/** In which the memory of a burst fades to a third. */
const FADES_MS = 1000;
/** What came longer ago says nothing about what comes. */
const WINDOW_MS = 1000;

/** The latest last. In arrays of numbers: objects that live this long are collected with all of the heap only, for which runs wait. */
interface Arrivals {
  readonly atMs: Float64Array;
  readonly rows: Float64Array;
  readonly budgetsMs: Float64Array;
  count: number;
}

/** Asked at each decision, so nothing is copied. */
export function arrivalMeter(): ArrivalMeter {
  const kept: Arrivals = {
    atMs: new Float64Array(2 * KEPT),
    rows: new Float64Array(2 * KEPT),
    budgetsMs: new Float64Array(2 * KEPT),
    count: 0,
  };
  let lastBudgetAtMs = Number.NEGATIVE_INFINITY;
  let burst = 0;
  let burstAtMs = 0;
  return {
    arrived(rows, budgetMs = Number.POSITIVE_INFINITY, nowMs) {
      // Moved rarely, so that an arrival costs next to nothing.
      if (kept.count === 2 * KEPT) keepLatest(kept);
      kept.atMs[kept.count] = nowMs;
      kept.rows[kept.count] = rows;
      kept.budgetsMs[kept.count] = budgetMs;
      kept.count++;
      if (budgetMs < Number.POSITIVE_INFINITY) lastBudgetAtMs = nowMs;
    },
    rates(nowMs) {
      const latest = firstWithin(kept, WINDOW_MS, nowMs, Math.max(0, kept.count - KEPT));
      const budgetMs = meanBudget(kept, latest);
      const inBudget = firstWithin(kept, budgetMs, nowMs, latest);
      const count = kept.count - inBudget;
      // Where more came than is kept, in as long as that took.
      const within = rateSince(kept, inBudget, count < KEPT ? budgetMs : sinceFirst(kept, inBudget, nowMs));
      const sure = count === 0 ? 0 : within * Math.max(0, 1 - CHANCE / Math.sqrt(count));
      burst = Math.max(sure, burst * Math.exp((burstAtMs - nowMs) / FADES_MS));
      burstAtMs = nowMs;
      const lately = rateSince(kept, latest, sinceFirst(kept, latest, nowMs));
      return { sure: Math.max(sure, lately), present: Math.max(within, lately), burst };
    },
    sinceBudgetMs: (nowMs) => nowMs - lastBudgetAtMs,
    shortestBudgetMs(nowMs) {
      let least = Number.POSITIVE_INFINITY;
      if (nowMs - lastBudgetAtMs > WINDOW_MS) return least;
      for (let i = firstWithin(kept, WINDOW_MS, nowMs, 0); i < kept.count; i++)
        least = Math.min(least, kept.budgetsMs[i] ?? least);
      return least;
    },
  };
}

function keepLatest(arrivals: Arrivals): void {
  for (const numbers of [arrivals.atMs, arrivals.rows, arrivals.budgetsMs]) numbers.copyWithin(0, KEPT);
  arrivals.count = KEPT;
}

/** Where those begin, from a place on, that came within so many ms. */
function firstWithin({ atMs, count }: Arrivals, ms: number, nowMs: number, from: number): number {
  let first = from;
  while (first < count && nowMs - (atMs[first] ?? nowMs) > ms) first++;
  return first;
}

function sinceFirst({ atMs, count }: Arrivals, from: number, nowMs: number): number {
  return from < count ? nowMs - (atMs[from] ?? nowMs) : 0;
}

/** Rows a millisecond of those from a place on. */
function rateSince(arrivals: Arrivals, from: number, spanMs: number): number {
  if (arrivals.count - from < FEWEST || spanMs <= 0) return 0;
  let rows = 0;
  for (let i = from; i < arrivals.count; i++) rows += arrivals.rows[i] ?? 0;
  return rows / spanMs;
}

/** Of those from a place on that have one; 0 where none has. */
function meanBudget({ budgetsMs, count }: Arrivals, from: number): number {
  let sum = 0;
  let budgets = 0;
  for (let i = from; i < count; i++) {
    const budgetMs = budgetsMs[i] ?? Number.POSITIVE_INFINITY;
    if (!Number.isFinite(budgetMs)) continue;
    sum += budgetMs;
    budgets++;
  }
  return sum / Math.max(1, budgets);
}
