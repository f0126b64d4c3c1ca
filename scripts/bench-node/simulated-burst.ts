/**
 * A node's choice of batches and levels in simulated time: the production batcher on given arrivals, with run times drawn
 * from a model of the machine. Deterministic, and some hundred times faster than a node, so that rules can be compared.
 */

import { latencyWindows } from '../../infra/node/model/latency-window.ts';
import { pacedTimes } from '../../infra/node/model/paced-times.ts';
import { arrivalMeter } from '../../infra/node/queue/arrival-meter.ts';
import { type BatchEntry, type BatchRules, levelInTime } from '../../infra/node/queue/batcher.ts';
import { caution } from '../../infra/node/queue/caution.ts';
import { edfQueue } from '../../infra/node/queue/edf-queue.ts';
import { leastWaitMs } from '../../infra/node/queue/least-wait.ts';
import { nextRun } from '../../infra/node/queue/next-run.ts';
import { uniforms } from './arrivals.ts';
import { slicedCores } from './sliced-cores.ts';

/** What runs take, and what is done about a request beside them. */
export interface SimulatedMachine {
  /** That run. */
  readonly threads: number;
  /** Which these share with the node's main thread and the client. */
  readonly cores: number;
  /** For which a thread keeps a core that another one waits for. */
  readonly sliceMs: number;
  /** Whether threads that run leave their core to others at once. */
  readonly yields: boolean;
  readonly maxRows: number;
  /** Of a run without noise, on a core of its own. */
  runMs(level: number, rows: number): number;
  /** Runs take longer by a factor up to this, uniformly. */
  readonly noise: number;
  /** Of the main thread for each request: to read it, and to write its answer. */
  readonly readMs: number;
  readonly answerMs: number;
  /** Of the client for each request, half of it before it is sent. */
  readonly clientMs: number;
  /** How many times as long as usual runs take that begin at a time; 1 unless told. */
  slowness?(atMs: number): number;
  /** Share of one core that other processes take, in pieces of some milliseconds; 0 unless told. */
  readonly others?: number | undefined;
  /** How often a second everything stands still for some tens of milliseconds; 0 unless told. */
  readonly stalls?: number | undefined;
  /** Of when those and other processes come; 0 unless told. */
  readonly seed?: number | undefined;
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
/** Of the main thread, to take up what a thread has run. */
const TAKE_UP_MS = 0.02;
/** Mean piece of work of other processes. */
const OTHERS_MS = 8;
/** Mean time for which everything stands still. */
const STALL_MS = 40;

interface Entry extends BatchEntry {
  readonly deadlineMs: number;
  readonly index: number;
}

export function simulateBurst(
  machine: SimulatedMachine,
  arrivals: readonly SimulatedArrival[],
): SimulatedOutcome[] {
  const { threads, maxRows, runMs, noise, readMs, answerMs, clientMs } = machine;
  const uniform = uniforms(5);
  const drawnMs = (level: number, rows: number) => runMs(level, rows) * (1 + noise * uniform());
  const cores = slicedCores({
    cores: machine.cores,
    sliceMs: machine.sliceMs,
    yields: (name) => machine.yields && name.startsWith('run'),
  });
  const now = () => cores.nowMs;
  // As a node does at its start: single runs of each level, and a few of each size.
  const sizes = Array.from({ length: Math.floor(Math.log2(maxRows)) }, (_, i) => 2 ** (i + 1));
  const windows = latencyWindows('simulated', 1, [1, ...sizes], now);
  for (let level = 0; level <= Math.max(0, ...arrivals.map((one) => one.level)); level++)
    for (const rows of [1, ...sizes])
      for (let i = 0; i < (rows === 1 ? MEASURED_ALONE : MEASURED_TOGETHER); i++)
        windows.record(level, rows, drawnMs(level, rows));
  const paced = pacedTimes(windows, now);
  const rules: BatchRules = { maxRows, times: paced.times, atHand: () => true };
  const queue = edfQueue<Entry>(4096);
  const came = arrivalMeter();
  const care = caution();
  const outcomes = arrivals.map((): { inTime: boolean; level: number } => ({ inTime: false, level: -1 }));
  const idle = Array.from({ length: threads }, (_, i) => `run ${i}`);

  const dueMs = (index: number) => (arrivals[index]?.atMs ?? 0) + (arrivals[index]?.budgetMs ?? 0);

  const ended = ({ index, level, minLevel, deadlineMs }: Entry, endMs: number) => {
    const { budgetMs = 0 } = arrivals[index] ?? {};
    if (minLevel < level) care.ended(endMs - deadlineMs, deadlineMs - budgetMs, budgetMs);
  };
  const usualMs = (level: number, rows: number) => rules.times(level, rows, 0)?.p50Ms ?? 0;

  const pump = () => {
    while (idle.length > 0) {
      const { batch, hopeless } = nextRun(queue, now(), rules, {
        threads,
        idle: idle.length,
        arrivals: came,
        caution: care,
      });
      for (const entry of [...hopeless, ...(batch?.entries ?? [])]) queue.remove(entry);
      for (const entry of hopeless) ended(entry, now() + usualMs(entry.minLevel, 1));
      const thread = batch && idle.shift();
      if (batch === undefined || thread === undefined) return;
      const { level, entries } = batch;
      const beganMs = now();
      const ran = care.began(
        usualMs(level, entries.length),
        usualMs(Math.max(...entries.map(({ minLevel }) => minLevel)), entries.length),
      );
      cores.add(thread, drawnMs(level, entries.length) * (machine.slowness?.(beganMs) ?? 1), () => {
        const ranMs = now() - beganMs;
        cores.add('main', TAKE_UP_MS, () => {
          idle.push(thread);
          paced.record(level, entries.length, ranMs);
          windows.recordHandover(now() - beganMs - ranMs);
          ran(now() - beganMs, now());
          for (const entry of entries) ended(entry, now());
          // The next run is begun before these answers are written.
          for (const { index } of entries)
            cores.add('main', answerMs, () =>
              cores.add('client', clientMs / 2, () => {
                outcomes[index] = { inTime: now() <= dueMs(index), level };
              }),
            );
          pump();
        });
      });
    }
  };
  const submit = (entry: Entry, budgetMs: number) => {
    came.arrived(1, budgetMs, now());
    if (levelInTime(entry, now(), rules) === undefined) return;
    if (idle.length === 0) {
      const waitMs = leastWaitMs(queue.inOrder(), entry, rules, threads);
      if (levelInTime(entry, now() + waitMs, rules) === undefined) return;
    }
    queue.push(entry);
    pump();
  };
  const { others: othersShare = 0, stalls: stallsPerS = 0, seed = 0 } = machine;
  const others = atRandom(OTHERS_MS / othersShare, OTHERS_MS, 9 + seed);
  const stalls = atRandom(1000 / stallsPerS, STALL_MS, 17 + seed);
  for (const [index, { atMs, budgetMs, level, minLevel }] of arrivals.entries()) {
    for (let nextMs = 0; nextMs <= atMs; nextMs = Math.min(others.nextMs, stalls.nextMs)) {
      cores.runUntil(nextMs);
      if (others.nextMs <= nextMs) cores.add('others', others.take(), () => {});
      if (stalls.nextMs <= nextMs) cores.standStill(stalls.take());
    }
    cores.runUntil(atMs);
    cores.add('client', clientMs / 2, () => {
      // The node counts from when it comes, the client from when it was due.
      const deadlineMs = now() + budgetMs;
      cores.add('main', readMs, () =>
        submit({ index, level, minLevel, rows: 1, length: 0, shareKey: 'all', deadlineMs }, budgetMs),
      );
    });
  }
  cores.runOut();
  return outcomes;
}

/** What comes at random and lasts a random time; never after gaps that are infinite. */
function atRandom(meanGapMs: number, meanMs: number, seed: number) {
  const uniform = uniforms(seed);
  const exponential = (ms: number) => -ms * Math.log(uniform());
  let nextMs = exponential(meanGapMs);
  return {
    get nextMs() {
      return nextMs;
    },
    /** @returns how long the next one lasts */
    take() {
      nextMs += exponential(meanGapMs);
      return exponential(meanMs);
    },
  };
}
