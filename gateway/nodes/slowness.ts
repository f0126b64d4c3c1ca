/**
 * How a node's latest runs compare with what it reports of them, over all its levels together: when a machine gets slower, or
 * quicker again, a few runs at any level tell it of all of them.
 */
import type { BatchTimes } from '../selector/candidates.ts';
import { executeTime } from '../selector/predict.ts';
import type { TimeQuantiles } from '../selector/quantiles.ts';
import { decayingHistogram } from './decaying-histogram.ts';

/** An artifact is a version of a model. */
export interface Slowness {
  /** Whether the level's report has been corrected. */
  knows(artifact: string, level: number): boolean;
  /** Counts from the first time on that the level's report has been corrected. */
  record(artifact: string, level: number, batch: number, executeMs: number, nowMs: number): void;
  /** @param reported what the node says of the level. @returns the same as the latest runs would have it */
  corrected(
    artifact: string,
    level: number,
    reported: readonly BatchTimes[],
    nowMs: number,
  ): readonly BatchTimes[];
}

/** Shorter than that of the levels' own times, since all runs of a node count together. */
const HALF_LIFE_MS = 5000;
/** Below this weight runs say nothing; from the other on the report is corrected by all that they say. */
const SOME = 4;
const ENOUGH = 16;
/** A node takes up new versions, and the old ones are never asked for again. */
const MAX_ARTIFACTS = 16;

export function measuredSlowness(): Slowness {
  const ratios = decayingHistogram(HALF_LIFE_MS);
  /** By artifact and level: what was reported last. */
  const reports = new Map<string, Map<number, readonly BatchTimes[]>>();

  return {
    knows: (artifact, level) => reports.get(artifact)?.has(level) ?? false,
    record(artifact, level, batch, executeMs, nowMs) {
      const reported = reports.get(artifact)?.get(level);
      if (reported === undefined) return;
      const usualMs = executeTime(reported, batch, 0.5);
      if (usualMs > 0) ratios.record(executeMs / usualMs, nowMs);
    },
    corrected(artifact, level, reported, nowMs) {
      const levels = reports.get(artifact) ?? new Map<number, readonly BatchTimes[]>();
      levels.set(level, reported);
      reports.set(artifact, levels);
      const oldest = reports.keys().next().value;
      if (reports.size > MAX_ARTIFACTS && oldest !== undefined) reports.delete(oldest);
      const measured = ratios.quantiles();
      const share = Math.min(1, (ratios.weight(nowMs) - SOME) / (ENOUGH - SOME));
      if (measured === undefined || share <= 0) return reported;
      return reported.map(({ batch, ...times }) => ({ batch, ...slowed(times, measured, share) }));
    },
  };
}

/** Quantile by quantile, `share` of what the runs say; they tell of the spread, too, where they have a wider one. */
function slowed(times: TimeQuantiles, ratio: TimeQuantiles, share: number): TimeQuantiles {
  const at = (reportedMs: number, quantileRatio: number) => {
    const measuredMs = Math.max(reportedMs * ratio.p50Ms, times.p50Ms * quantileRatio);
    return share * measuredMs + (1 - share) * reportedMs;
  };
  return {
    p50Ms: at(times.p50Ms, ratio.p50Ms),
    p95Ms: at(times.p95Ms, ratio.p95Ms),
    p99Ms: at(times.p99Ms, ratio.p99Ms),
  };
}
