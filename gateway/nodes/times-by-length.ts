/** What a node reports of a level's runs, for sequences of one length. */
import type { BatchTimes } from '../selector/candidates.ts';
import { executeTime } from '../selector/predict.ts';
import { mixed } from './mixed-times.ts';

/** Of runs of up to so many elements along the axis of sequences. */
export interface LengthTimes extends BatchTimes {
  readonly length: number;
}

/**
 * A length that was never run is told by its neighbours, in proportion between them: runs grow faster than their lengths, so that
 * errs toward keeping the budget. One shorter than all takes as long as the shortest at most, one longer in proportion to the longest.
 * @param length 1 or more, as nodes put them together (`lengthBucket`)
 * @returns undefined where nothing is reported by length
 */
export function timesAtLength(reported: readonly LengthTimes[], length: number): BatchTimes[] | undefined {
  let [below, above] = [0, Number.POSITIVE_INFINITY];
  for (const { length: known } of reported) {
    if (known <= length && known > below) below = known;
    if (known >= length && known < above) above = known;
  }
  const longer = of(reported, above);
  if (above === length) return longer;
  const shorter = of(reported, below);
  if (shorter.length === 0) return longer.length === 0 ? undefined : longer;
  if (longer.length === 0) return shorter.map((times) => scaled(times, length / below));
  const share = (length - below) / (above - below);
  return longer.map(({ batch, ...times }) => ({ batch, ...mixed(times, timesOf(shorter, batch), share) }));
}

function of(reported: readonly LengthTimes[], length: number): BatchTimes[] {
  return reported
    .filter((times) => times.length === length)
    .map(({ batch, p50Ms, p95Ms, p99Ms }) => ({ batch, p50Ms, p95Ms, p99Ms }));
}

/** The three measured quantiles at a batch size. */
export function timesOf(times: readonly BatchTimes[], batch: number) {
  return {
    p50Ms: executeTime(times, batch, 0.5),
    p95Ms: executeTime(times, batch, 0.95),
    p99Ms: executeTime(times, batch, 0.99),
  };
}

function scaled({ batch, p50Ms, p95Ms, p99Ms }: BatchTimes, factor: number): BatchTimes {
  return { batch, p50Ms: factor * p50Ms, p95Ms: factor * p95Ms, p99Ms: factor * p99Ms };
}
