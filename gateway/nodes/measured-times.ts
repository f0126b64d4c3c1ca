/**
 * What the gateway has measured of one node: the way there and back, and execution times by level and batch size.
 * The runtime's clock ticks in whole milliseconds, so a single network sample is off by up to one; many are not biased.
 */
import type { BatchTimes } from '../selector/candidates.ts';
import { quantilesOf, type TimeQuantiles } from '../selector/quantiles.ts';
import { type SlidingWindow, slidingWindow } from './sliding-window.ts';

/** Old enough to hold a p95, young enough to follow a change. */
const NETWORK_SAMPLES = 64;
const EXECUTION_SAMPLES = 256;
const MAX_AGE_MS = 60_000;
/** Fewer samples than this say less than the quantiles that the node itself reports. */
const ENOUGH_EXECUTIONS = 32;
/** Until this many requests have gone there, the probes' round trips count too. */
const ENOUGH_REQUESTS = 5;
/** Clients choose batch sizes, so the number of windows needs a bound. */
const MAX_WINDOWS = 512;

export interface MeasuredTimes {
  /** Round trip of a report. */
  recordProbe(ms: number, nowMs: number): void;
  recordRequest(
    sample: { version: string; level: number; batch: number; networkMs: number; executeMs: number },
    nowMs: number,
  ): void;
  /** Undefined before the first probe. */
  network(nowMs: number): TimeQuantiles | undefined;
  /** Batch sizes of a level with enough samples. */
  executions(version: string, level: number, nowMs: number): BatchTimes[];
}

export function measuredTimes(): MeasuredTimes {
  const probes = slidingWindow(NETWORK_SAMPLES, MAX_AGE_MS);
  const requests = slidingWindow(NETWORK_SAMPLES, MAX_AGE_MS);
  /** By version, level and batch; the one recorded longest ago stands first. */
  const windows = new Map<string, { version: string; level: number; batch: number; window: SlidingWindow }>();
  let lastProbeMs: number | undefined;

  return {
    recordProbe(ms, nowMs) {
      lastProbeMs = ms;
      probes.record(ms, nowMs);
    },
    recordRequest({ version, level, batch, networkMs, executeMs }, nowMs) {
      requests.record(networkMs, nowMs);
      const key = `${version}/${level}/${batch}`;
      const known = windows.get(key) ?? {
        version,
        level,
        batch,
        window: slidingWindow(EXECUTION_SAMPLES, MAX_AGE_MS),
      };
      windows.delete(key);
      windows.set(key, known);
      known.window.record(executeMs, nowMs);
      const oldest = windows.keys().next().value;
      if (windows.size > MAX_WINDOWS && oldest !== undefined) windows.delete(oldest);
    },
    network(nowMs) {
      const live = requests.values(nowMs);
      const samples = live.length >= ENOUGH_REQUESTS ? live : [...probes.values(nowMs), ...live];
      return quantilesOf(samples.length > 0 || lastProbeMs === undefined ? samples : [lastProbeMs]);
    },
    executions(version, level, nowMs) {
      return [...windows.values()].flatMap((entry) => {
        if (entry.version !== version || entry.level !== level) return [];
        const values = entry.window.values(nowMs);
        const times = values.length >= ENOUGH_EXECUTIONS ? quantilesOf(values) : undefined;
        return times === undefined ? [] : [{ batch: entry.batch, ...times }];
      });
    },
  };
}
