/**
 * A node's choice of batches and levels in simulated time: the production batcher on given arrivals, with run times drawn
 * from a model of the machine. Deterministic, and some hundred times faster than a node, so that rules can be compared.
 */

import { latencyWindows } from '../../infra/node/model/latency-window.ts';
import { pacedTimes } from '../../infra/node/model/paced-times.ts';
import { arrivalMeter } from '../../infra/node/queue/arrival-meter.ts';
import {
  type BatchEntry,
  type BatchRules,
  leastWaitMs,
  levelInTime,
  nextRun,
} from '../../infra/node/queue/batcher.ts';
import { edfQueue } from '../../infra/node/queue/edf-queue.ts';
import { uniforms } from './arrivals.ts';

/** What runs take. */
export interface SimulatedMachine {
  readonly threads: number;
  readonly maxRows: number;
  /** Of a run without noise. */
  runMs(level: number, rows: number): number;
  /** Runs take longer by a factor up to this, uniformly. */
  readonly noise: number;
  /** How many times as long as usual runs take that begin at a time; 1 unless told. */
  slowness?(atMs: number): number;
}

export interface SimulatedArrival {
  readonly atMs: number;
  readonly budgetMs: number;
  readonly level: number;
  readonly minLevel: number;
}

export interface SimulatedOutcome {
  readonly inTime: boolean;
  /** That ran; -1 where it was refused. */
  readonly level: number;
}

const MEASURED_ALONE = 30;
const MEASURED_TOGETHER = 4;

interface Entry extends BatchEntry {
  readonly deadlineMs: number;
  readonly index: number;
}

export function simulateBurst(
  machine: SimulatedMachine,
  arrivals: readonly SimulatedArrival[],
): SimulatedOutcome[] {
  const { threads, maxRows, runMs, noise } = machine;
  const uniform = uniforms(5);
  const drawnMs = (level: number, rows: number) => runMs(level, rows) * (1 + noise * uniform());
  let clockMs = 0;
  // As a node does at its start: single runs of each level, and a few of each size.
  const sizes = Array.from({ length: Math.floor(Math.log2(maxRows)) }, (_, i) => 2 ** (i + 1));
  const windows = latencyWindows('simulated', 1, [1, ...sizes], () => clockMs);
  for (let level = 0; level <= Math.max(0, ...arrivals.map((one) => one.level)); level++)
    for (const rows of [1, ...sizes])
      for (let i = 0; i < (rows === 1 ? MEASURED_ALONE : MEASURED_TOGETHER); i++)
        windows.record(level, rows, drawnMs(level, rows));
  const paced = pacedTimes(windows, () => clockMs);
  const rules: BatchRules = { maxRows, times: paced.times, atHand: () => true };
  const queue = edfQueue<Entry>(4096);
  const came = arrivalMeter();
  const outcomes = arrivals.map((): { inTime: boolean; level: number } => ({ inTime: false, level: -1 }));
  const runs: { beganMs: number; endMs: number; level: number; entries: readonly Entry[] }[] = [];

  const pump = (now: number) => {
    clockMs = now;
    for (;;) {
      const idle = threads - runs.length;
      if (idle <= 0) return;
      const { batch, hopeless } = nextRun(queue, now, rules, { threads, idle, arrivals: came });
      for (const entry of [...hopeless, ...(batch?.entries ?? [])]) queue.remove(entry);
      if (batch === undefined) return;
      const rows = batch.entries.length;
      const endMs = now + drawnMs(batch.level, rows) * (machine.slowness?.(now) ?? 1);
      runs.push({ beganMs: now, endMs, level: batch.level, entries: batch.entries });
    }
  };
  const settle = (untilMs: number) => {
    for (;;) {
      const next = runs.toSorted((a, b) => a.endMs - b.endMs)[0];
      if (next === undefined || next.endMs > untilMs) return;
      runs.splice(runs.indexOf(next), 1);
      clockMs = next.endMs;
      paced.record(next.level, next.entries.length, next.endMs - next.beganMs);
      for (const { index, deadlineMs } of next.entries)
        outcomes[index] = { inTime: next.endMs <= deadlineMs, level: next.level };
      pump(next.endMs);
    }
  };
  for (const [index, { atMs, budgetMs, level, minLevel }] of arrivals.entries()) {
    settle(atMs);
    const entry: Entry = {
      index,
      level,
      minLevel,
      rows: 1,
      length: 0,
      shareKey: 'all',
      deadlineMs: atMs + budgetMs,
    };
    came.arrived(1, budgetMs, atMs);
    if (levelInTime(entry, atMs, rules) === undefined) continue;
    if (runs.length === threads) {
      const waitMs = leastWaitMs(queue.inOrder(), entry, rules, threads);
      if (levelInTime(entry, atMs + waitMs, rules) === undefined) continue;
    }
    queue.push(entry);
    pump(atMs);
  }
  settle(Number.POSITIVE_INFINITY);
  return outcomes;
}
