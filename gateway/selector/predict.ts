/** How long an execution takes and how long a request waits before it, from what is known of a node. */
import type { BatchTimes, NodeOption } from './candidates.ts';
import { timeAt } from './quantiles.ts';

export interface Prediction {
  readonly networkMs: number;
  readonly queueMs: number;
  readonly executeMs: number;
  /**
   * The sum. Quantiles are added, as if the worst of network and execution came together: an upper bound of the sum's
   * quantile in all but strongly dependent cases, so it errs toward keeping the budget.
   */
  readonly totalMs: number;
}

/**
 * Batches between two measured sizes cost in proportion between them; beyond the largest, in proportion to it.
 * @returns NaN without any measurement
 */
export function executeTime(times: readonly BatchTimes[], batch: number, quantile: number): number {
  let below: BatchTimes | undefined;
  let above: BatchTimes | undefined;
  for (const entry of times) {
    if (entry.batch <= batch && (below === undefined || entry.batch > below.batch)) below = entry;
    if (entry.batch >= batch && (above === undefined || entry.batch < above.batch)) above = entry;
  }
  if (above === undefined)
    return below === undefined
      ? Number.NaN
      : timeAt(below, quantile) * (below.batch > 0 ? batch / below.batch : 1);
  const aboveMs = timeAt(above, quantile);
  if (below === undefined || below.batch === above.batch) return aboveMs;
  const share = (batch - below.batch) / (above.batch - below.batch);
  return timeAt(below, quantile) * (1 - share) + aboveMs * share;
}

/**
 * The expected wait: one that comes when all workers are busy waits until as many have finished as stand before it. What
 * is known of those before it counts as known; the others come on top, each with the usual time.
 */
export function queueTime({
  load,
  workers,
  serviceMs,
  ahead,
}: Pick<NodeOption, 'load' | 'workers' | 'serviceMs' | 'ahead'>): number {
  const rounds = roundsOf(load, workers);
  if (ahead === undefined) return rounds * serviceMs;
  return ahead.ms + Math.max(0, rounds - roundsOf(ahead.requests, workers)) * serviceMs;
}

function roundsOf(requests: number, workers: number): number {
  return requests < workers ? 0 : (requests - workers + 1) / workers;
}
