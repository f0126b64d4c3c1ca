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

export function arrivalMeter(): ArrivalMeter {
  /** The latest last. */
  let kept: { atMs: number; rows: number; budgetMs: number }[] = [];
  let lastBudgetAtMs = Number.NEGATIVE_INFINITY;
  let burst = 0;
  let burstAtMs = 0;
  const recent = (nowMs: number) => {
    const first = kept.findIndex(({ atMs }) => nowMs - atMs <= WINDOW_MS);
    if (first !== 0) kept = first < 0 ? [] : kept.slice(first);
    return kept;
  };
  return {
    arrived(rows, budgetMs = Number.POSITIVE_INFINITY, nowMs) {
      kept.push({ atMs: nowMs, rows, budgetMs });
      if (budgetMs < Number.POSITIVE_INFINITY) lastBudgetAtMs = nowMs;
      // Cut rarely, so that an arrival costs next to nothing.
      if (kept.length >= 2 * KEPT) kept = kept.slice(-KEPT);
    },
    rates(nowMs) {
      const latest = recent(nowMs).slice(-KEPT);
      const budgetMs = mean(latest.map((one) => one.budgetMs).filter(Number.isFinite));
      const withinBudget = latest.filter(({ atMs }) => nowMs - atMs <= budgetMs);
      // Where more came than is kept, in as long as that took.
      const spanMs = withinBudget.length < KEPT ? budgetMs : sinceFirst(withinBudget, nowMs);
      const within = rateOf(withinBudget, spanMs);
      const sure = within * Math.max(0, 1 - CHANCE / Math.sqrt(withinBudget.length));
      burst = Math.max(sure, burst * Math.exp((burstAtMs - nowMs) / FADES_MS));
      burstAtMs = nowMs;
      return { present: Math.max(within, rateOf(latest, sinceFirst(latest, nowMs))), burst };
    },
    sinceBudgetMs: (nowMs) => nowMs - lastBudgetAtMs,
    shortestBudgetMs(nowMs) {
      let least = Number.POSITIVE_INFINITY;
      if (nowMs - lastBudgetAtMs > WINDOW_MS) return least;
      for (const { budgetMs } of recent(nowMs)) least = Math.min(least, budgetMs);
      return least;
    },
  };
}

function sinceFirst(arrivals: readonly { readonly atMs: number }[], nowMs: number): number {
  return nowMs - (arrivals[0]?.atMs ?? nowMs);
}

function rateOf(arrivals: readonly { readonly rows: number }[], spanMs: number): number {
  if (arrivals.length < FEWEST || spanMs <= 0) return 0;
  return arrivals.reduce((sum, { rows }) => sum + rows, 0) / spanMs;
}

/** 0 of none. */
function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}
