/**
 * Where serving the first ones in time makes others late, the run after which the fewest are. By deadlines alone, with more
 * waiting than can be served, each runs at its last moment, whose slack leaves room for nobody else: small runs, which
 * serve few, and late ones. So the first ones may be passed over, and a run may be longer than those to come would like.
 *
 * With just as much coming as runs of that kind hold nobody need be late, and all are at their last moments for as long as it goes on;
 * whatever takes a little longer then makes some late. So where many wait a run may be longer than the first one is sure to be in time
 * with, too, as times vary: by what is expected of all, the first one among them.
 *
 * Pure: times and the clock come as arguments.
 */
import {
  type BatchBounds,
  type BatchEntry,
  type BatchRules,
  type NextBatch,
  nextBatch,
  type RunTimes,
} from './batcher.ts';

type Batch<E> = NonNullable<NextBatch<E>['batch']>;

/** What a choice is made for. */
export interface Moment<E> {
  /** In the order of service, without what is hopeless. */
  readonly waiting: readonly E[];
  readonly nowMs: number;
  readonly rules: BatchRules;
  readonly bounds: BatchBounds;
  readonly threads: number;
}

/** How many of the first ones may be passed over. */
const PASSED = [0, 1, 2, 4, 8, 16, 32];

/** @param first the run that is best for the first one */
export function fewestLate<E extends BatchEntry>(first: Batch<E>, moment: Moment<E>): Batch<E> {
  const { waiting, nowMs, rules, bounds } = moment;
  let best = { batch: first, late: lateAfter(first, 0, moment) };
  for (const passed of PASSED) {
    if (passed >= best.late) break;
    const { batch } = nextBatch(waiting.slice(passed), nowMs, rules, { ...bounds, longest: undefined });
    if (batch === undefined) break;
    const late = passed + lateAfter(batch, passed, moment);
    if (late < best.late) best = { batch, late };
  }
  return best.batch === first ? (lessSure(first, moment) ?? first) : best.batch;
}

/** How many of a run and of those that wait behind it will be late, if times are usual and the runs after it are like it. */
function lateAfter<E extends BatchEntry>(
  batch: Batch<E>,
  passed: number,
  { waiting, nowMs, rules, threads }: Moment<E>,
): number {
  const run = timesOf(batch, rules);
  if (run === undefined) return 0;
  const perRowMs = run.p50Ms / rowsIn(batch);
  const members = new Set<BatchEntry>(batch.entries);
  let workMs = run.p50Ms;
  let late = 0;
  for (const entry of waiting.slice(passed)) {
    const { deadlineMs } = entry;
    if (deadlineMs === undefined) break;
    if (members.has(entry)) {
      if (nowMs + run.p50Ms > deadlineMs) late++;
    } else if (nowMs + workMs / threads + run.p50Ms > deadlineMs) late++;
    else workMs += perRowMs * entry.rows;
  }
  return late;
}

/** By how many fewer must be expected to be late for what the first ones are less sure with. */
const WORTH = 0.5;

/** A run of more, if fewer are expected to be late with it. */
function lessSure<E extends BatchEntry>(sure: Batch<E>, moment: Moment<E>): Batch<E> | undefined {
  const { waiting, nowMs, rules, bounds } = moment;
  // Where nobody is to be in time, nobody is late.
  if (waiting[0]?.deadlineMs === undefined || waiting.length <= sure.entries.length) return undefined;
  const { batch } = nextBatch(waiting, nowMs, rules, { ...bounds, isLikelyEnough: true });
  if (batch === undefined || batch.entries.length <= sure.entries.length) return undefined;
  return expectedLate(batch, moment) < expectedLate(sure, moment) - WORTH ? batch : undefined;
}

/** How many are expected to be late, as times vary, if those after this run go on as the first of them would go then. */
function expectedLate<E extends BatchEntry>(
  batch: Batch<E>,
  { waiting, nowMs, rules, bounds, threads }: Moment<E>,
): number {
  const run = timesOf(batch, rules);
  if (run === undefined) return 0;
  const members = new Set<BatchEntry>(batch.entries);
  const behind = waiting.filter((entry) => !members.has(entry));
  // Who has time runs with more than who has not: at the pace of a short run, all would seem late who come last.
  const next = nextBatch(behind, nowMs + run.p50Ms / threads, rules, bounds).batch ?? batch;
  const nextRun = timesOf(next, rules) ?? run;
  const perRowMs = nextRun.p50Ms / rowsIn(next);
  let workMs = run.p50Ms;
  let late = 0;
  for (const entry of waiting) {
    const { deadlineMs } = entry;
    if (deadlineMs === undefined) break;
    if (members.has(entry)) late += chanceLate(run, deadlineMs - nowMs);
    else {
      late += chanceLate(nextRun, deadlineMs - nowMs - workMs / threads);
      workMs += perRowMs * entry.rows;
    }
  }
  return late;
}

const HALF = 0.5;
/** Of runs that take longer than their `p95Ms`. */
const TAIL = 0.05;

/** That a run takes longer than what is left: in proportion between the times that are known, and ever less beyond them. */
function chanceLate({ fastestMs, p50Ms, p95Ms }: RunTimes, leftMs: number): number {
  if (leftMs <= fastestMs) return 1;
  if (leftMs < p50Ms) return 1 - (HALF * (leftMs - fastestMs)) / (p50Ms - fastestMs);
  if (leftMs < p95Ms) return HALF - ((HALF - TAIL) * (leftMs - p50Ms)) / (p95Ms - p50Ms);
  const spreadMs = p95Ms - p50Ms;
  return spreadMs > 0 ? TAIL * Math.exp((p95Ms - leftMs) / spreadMs) : 0;
}

function timesOf<E extends BatchEntry>(batch: Batch<E>, { times }: BatchRules): RunTimes | undefined {
  return times(batch.level, rowsIn(batch), batch.entries[0].length);
}

function rowsIn<E extends BatchEntry>({ entries }: Batch<E>): number {
  return entries.reduce((sum, { rows }) => sum + rows, 0);
}
