/** How long a level would take on a node: network, wait and execution, each at the policy's quantile where it has one. */
import type { BatchTimes, NodeOption } from './candidates.ts';
import { timeAt } from './quantiles.ts';

export interface Prediction {
  readonly networkMs: number;
  readonly queueMs: number;
  readonly executeMs: number;
  readonly totalMs: number;
}

/**
 * Quantiles are added, as if the worst of network and execution came together: an upper bound of the sum's quantile in
 * all but strongly dependent cases, so it errs toward keeping the budget.
 * @returns undefined when the node has no time for the level
 */
export function predict(
  node: NodeOption,
  level: number,
  batch: number,
  quantile: number,
): Prediction | undefined {
  const executeMs = executeTime(node.times.get(level) ?? [], batch, quantile);
  if (executeMs === undefined) return undefined;
  const networkMs = timeAt(node.network, quantile);
  const queueMs = queueTime(node);
  return { networkMs, queueMs, executeMs, totalMs: networkMs + queueMs + executeMs };
}

/** Batches between two measured sizes cost in proportion between them; beyond the largest, in proportion to it. */
function executeTime(times: readonly BatchTimes[], batch: number, quantile: number): number | undefined {
  const sorted = times.toSorted((a, b) => a.batch - b.batch);
  const above = sorted.find((entry) => entry.batch >= batch);
  const below = sorted.findLast((entry) => entry.batch <= batch);
  if (above === undefined)
    return below && timeAt(below, quantile) * (below.batch > 0 ? batch / below.batch : 1);
  const aboveMs = timeAt(above, quantile);
  if (below === undefined || below.batch === above.batch) return aboveMs;
  const share = (batch - below.batch) / (above.batch - below.batch);
  return timeAt(below, quantile) * (1 - share) + aboveMs * share;
}

/** The expected wait: one that comes when all workers are busy waits until as many have finished as stand before it. */
function queueTime({ load, workers, serviceMs }: NodeOption): number {
  return (Math.max(0, load - workers + 1) / workers) * serviceMs;
}
