/**
 * Decides what an idle thread runs next. What is best for the first of those that wait can be the ruin of the others, so:
 *
 * - One level is found at which everything that waits can be served in time, one run after the other, and that keeps up with
 *   what has been coming: nobody gets a denser one.
 * - Where others would be late for the first one's sake, the run is taken after which the fewest are late.
 *
 * Pure: times and the clock come as arguments.
 */
import type { ArrivalMeter, ArrivalRates } from './arrival-meter.ts';
import {
  type BatchBounds,
  type BatchEntry,
  type BatchRules,
  LEVELS,
  type NextBatch,
  nextBatch,
  type RunTimes,
} from './batcher.ts';
import type { Care, Caution } from './caution.ts';
import { steadyLevel, sustainableLevel } from './level-for-all.ts';
import type { RequestQueue } from './request-queue.ts';

/** What an idle thread is to know of the others and of what has been coming. */
export interface NodeLoad {
  readonly threads: number;
  /** Threads that could begin now. */
  readonly idle: number;
  readonly arrivals: Pick<ArrivalMeter, 'rates' | 'shortestBudgetMs'>;
  /** See `Caution`; none unless told. */
  readonly caution?: Pick<Caution, 'at'>;
}

/** How many of those that wait are looked at to choose a level. */
const FORESIGHT = 128;

/** Of the shortest budget that came lately, what a shared run may usually take: who comes next must not find all threads taken for too long. */
const LONGEST_SHARE = 0.35;

/** By how much less that is, with all readiness for another burst, for a run that is denser than it need be. */
const READY_SHARE = 0.5;

/** Of the shortest budget that came lately, what may wait while a level runs that is denser than one that keeps up; less with readiness for another burst. */
const LITTLE_SHARE = 0.4;

const CARELESS: Care = { readiness: 0, reserve: 0 };

/** What an idle thread runs next: the level for all that waits and has been coming, the batch for those that are first. */
export function nextRun<E extends BatchEntry>(
  queue: Pick<RequestQueue<E>, 'length' | 'inOrder'>,
  nowMs: number,
  node: BatchRules,
  { threads, idle, arrivals, caution }: NodeLoad,
): NextBatch<E> {
  const rules = { ...node, times: remembered(node.times) };
  const waiting: E[] = [];
  for (const entry of queue.inOrder()) if (waiting.push(entry) >= FORESIGHT) break;
  const shortestMs = arrivals.shortestBudgetMs(nowMs);
  const { readiness, reserve } = caution?.at(usualMs(waiting[0], rules) / shortestMs) ?? CARELESS;
  const sparsestMs = LONGEST_SHARE * shortestMs;
  const longest = { sparsestMs, denserMs: sparsestMs * (1 - READY_SHARE * readiness) };
  const choices = waiting.some(
    ({ level, minLevel, deadlineMs }) => deadlineMs !== undefined && minLevel < level,
  );
  const levelForAll = () => {
    const littleMs = readiness < 1 ? (1 - readiness) * LITTLE_SHARE * shortestMs : 0;
    const rowsPerMs = expectedRate(arrivals.rates(nowMs), readiness);
    return Math.min(
      sustainableLevel(waiting, nowMs, rules, threads),
      steadyLevel(waiting, rowsPerMs, rules, threads, littleMs, longest),
    );
  };
  const cap = choices ? cautious(levelForAll(), reserve) : undefined;
  const bounds = { maxEntries: Math.ceil(queue.length / idle), cap, longest };
  const first = nextBatch(queue.inOrder(), nowMs, rules, bounds);
  return leastLost(first, waiting, nowMs, rules, bounds, threads);
}

/** Of a run of an entry alone, at the level that it asks for; 0 where nothing is known. */
function usualMs(entry: BatchEntry | undefined, { times }: BatchRules): number {
  return entry === undefined ? 0 : (times(entry.level, entry.rows, entry.length)?.p50Ms ?? 0);
}

/** Between what is coming and the worst burst lately. */
function expectedRate({ present, burst }: ArrivalRates, readiness: number): number {
  return present + readiness * Math.max(0, burst - present);
}

/** `sustainableLevel` is finite. */
function cautious(cap: number, reserve: number): number {
  return Math.floor(cap * (1 - reserve) + ROUNDING);
}

const ROUNDING = 1e-9;

/** What is asked again and again for one decision, as most that waits is alike. */
function remembered(times: BatchRules['times']): BatchRules['times'] {
  const known = new Map<number, Map<number, RunTimes | undefined>>();
  return (level, rows, length) => {
    const sizes = known.get(level + LEVELS * length) ?? new Map<number, RunTimes | undefined>();
    if (sizes.size === 0) known.set(level + LEVELS * length, sizes);
    else if (sizes.has(rows)) return sizes.get(rows);
    const found = times(level, rows, length);
    sizes.set(rows, found);
    return found;
  };
}

/** How many of the first ones may be passed over. */
const PASSED = [0, 1, 2, 4, 8, 16, 32];

/**
 * Where serving the first ones in time makes others late, the run after which the fewest are lost. By deadlines alone, with more
 * waiting than can be served, each runs at its last moment, whose slack leaves room for nobody else: small runs, which
 * serve few, and late ones. So the first ones may be passed over, and a run may be longer than those to come would like.
 */
function leastLost<E extends BatchEntry>(
  first: NextBatch<E>,
  waiting: readonly E[],
  nowMs: number,
  rules: BatchRules,
  bounds: BatchBounds,
  threads: number,
): NextBatch<E> {
  if (first.batch === undefined) return first;
  const hopeless = new Set(first.hopeless);
  const alive = waiting.filter((entry) => !hopeless.has(entry));
  let best = { batch: first.batch, lost: lateAfter(first.batch, alive, 0, nowMs, rules, threads) };
  for (const passed of PASSED) {
    if (passed >= best.lost) break;
    const { batch } = nextBatch(alive.slice(passed), nowMs, rules, { ...bounds, longest: undefined });
    if (batch === undefined) break;
    const lost = passed + lateAfter(batch, alive, passed, nowMs, rules, threads);
    if (lost < best.lost) best = { batch, lost };
  }
  return { batch: best.batch, hopeless: first.hopeless };
}

/** How many of those that wait behind a run will be late, if the runs after it are like it. */
function lateAfter<E extends BatchEntry>(
  { level, entries }: NonNullable<NextBatch<E>['batch']>,
  waiting: readonly E[],
  passed: number,
  nowMs: number,
  { times }: BatchRules,
  threads: number,
): number {
  const rows = entries.reduce((sum, entry) => sum + entry.rows, 0);
  const runMs = times(level, rows, entries[0].length)?.p50Ms;
  if (runMs === undefined) return 0;
  const perRowMs = runMs / rows;
  const members = new Set<BatchEntry>(entries);
  let workMs = runMs;
  let late = 0;
  for (const entry of waiting.slice(passed)) {
    const { deadlineMs } = entry;
    if (deadlineMs === undefined) break;
    if (members.has(entry)) {
      if (nowMs + runMs > deadlineMs) late++;
    } else if (nowMs + workMs / threads + runMs > deadlineMs) late++;
    else workMs += perRowMs * entry.rows;
  }
  return late;
}
