/**
 * Decides what an idle thread runs next. What is best for the first of those that wait can be the ruin of the others, so:
 *
 * - One level is found at which everything that waits can be served in time, one run after the other, and that keeps up with
 *   what has been coming: nobody gets a denser one.
 * - Where others would be late for the first one's sake, the run is taken after which the fewest are late (`fewest-late.ts`).
 *
 * Pure: times and the clock come as arguments.
 */
import type { ArrivalMeter, ArrivalRates } from './arrival-meter.ts';
import {
  type BatchEntry,
  type BatchRules,
  LEVELS,
  type NextBatch,
  nextBatch,
  type RunTimes,
} from './batcher.ts';
import type { Care, Caution } from './caution.ts';
import { fewestLate } from './fewest-late.ts';
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
  if (first.batch === undefined) return first;
  const hopeless = new Set(first.hopeless);
  const alive = waiting.filter((entry) => !hopeless.has(entry));
  const batch = fewestLate(first.batch, { waiting: alive, nowMs, rules, bounds, threads });
  return { batch, hopeless: first.hopeless };
}

/** Of a run of an entry alone, at the level that it asks for; 0 where nothing is known. */
function usualMs(entry: BatchEntry | undefined, { times }: BatchRules): number {
  return entry === undefined ? 0 : (times(entry.level, entry.rows, entry.length)?.p50Ms ?? 0);
}

/** Of what is coming, but may be chance, the share that is left to the queue: with all of it more is late where runs are slow now and then. */
const LEFT_SHARE = 0.5;

/** Between what is coming, less what is left to the queue, and the worst burst lately. */
function expectedRate({ sure, present, burst }: ArrivalRates, readiness: number): number {
  const bold = present - LEFT_SHARE * (present - sure);
  return bold + readiness * (Math.max(present, burst) - bold);
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
