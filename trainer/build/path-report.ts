/** What a build keeps for its report: the path, and what each stage took in seconds and in epochs of training. */

import { type Draw, stepCost } from '../recovery/draw-levels.ts';
import { ANSWERS, levelDraw, recoverySteps } from '../recovery/plan.ts';
import type { ReportData } from '../report/report-data.ts';
import type { InclusionState } from '../search/inclusion.ts';
import type { UnitIndex } from '../search/units.ts';
import type { BuildOptions } from './options.ts';
import type { Progress } from './progress.ts';
import { FISHER_BATCHES } from './search-stage.ts';

export interface TimedProgress extends Progress {
  /** Seconds by stage so far, in the order in which stages began; a stage that runs again adds up. */
  seconds(): ReadonlyMap<string, number>;
  /** Adds what an interrupted run had taken. */
  add(seconds: ReadonlyMap<string, number>): void;
}

/** The same progress, with a clock on it. @param now in ms */
export function timedProgress(
  progress: Progress,
  now: () => number = () => performance.now(),
): TimedProgress {
  const seconds = new Map<string, number>();
  const running = new Map<string, number>();
  const plus = (name: string, more: number) => seconds.set(name, (seconds.get(name) ?? 0) + more);
  const since = (started: number) => (now() - started) / 1000;
  return {
    note: (message) => progress.note(message),
    stage(name, total, before) {
      const [inner, started] = [progress.stage(name, total, before), now()];
      plus(name, 0);
      running.set(name, started);
      return {
        update: (done, values) => inner.update(done, values),
        finish: (values) => {
          plus(name, since(started));
          running.delete(name);
          inner.finish(values);
        },
      };
    },
    seconds: () =>
      new Map([...seconds].map(([name, done]) => [name, done + since(running.get(name) ?? now())])),
    add(earlier) {
      for (const [name, more] of earlier) plus(name, more);
    },
  };
}

/**
 * Epochs of the dense model's own training step that each stage is worth, by the examples that it computed. A step of the
 * search counts as a whole training step, although it needs no gradients of weights.
 */
export function epochsByStage(
  { batch, steps, recover }: Pick<BuildOptions, 'batch' | 'steps'> & { readonly recover: number },
  { examples, pool, shares }: { examples: number; pool: number; shares: readonly number[] },
  draw: Draw = levelDraw(shares),
): Readonly<Record<string, number>> {
  const epochs = (computed: number) => computed / examples;
  return {
    teacher: epochs(pool * ANSWERS),
    curvature: epochs(FISHER_BATCHES * batch),
    search: epochs(steps * batch),
    recover: epochs(recover * batch * (stepCost(shares, draw) + ANSWERS)),
  };
}

/** Steps of recovery that a build takes: `recoverySteps` behind its search. @param examples of an epoch */
export function stepsBehind(
  options: Pick<BuildOptions, 'batch' | 'steps' | 'calibration'>,
  asked: BuildOptions['recover'],
  examples: number,
  shares: readonly number[],
  draw: Draw = levelDraw(shares),
): number {
  const pool = Math.min(options.calibration, examples);
  const { recover: _, ...before } = epochsByStage({ ...options, recover: 0 }, { examples, pool, shares });
  const searched = Object.values(before).reduce((sum, epochs) => sum + epochs, 0);
  return recoverySteps(asked, { examples, batch: options.batch, shares, searched, draw });
}

/**
 * What `report.json` keeps of a run.
 * @param steps of the search, in which entry times count
 * @param epochs by stage, as `epochsByStage` gives them; a stage without costs none
 */
export function reportData(
  { entry }: Pick<InclusionState, 'entry'>,
  { offsets, sizes }: UnitIndex,
  steps: number,
  progress: TimedProgress,
  epochs: Readonly<Record<string, number>>,
  notes: readonly string[],
): ReportData {
  return {
    formatVersion: 1,
    steps,
    entries: sizes.map((units, p) => {
      const from = offsets[p] ?? 0;
      const times = Array.from(entry.slice(from, from + units)).toSorted((a, b) => a - b);
      return times.map((time) => (Number.isFinite(time) ? Number(time.toFixed(3)) : null));
    }),
    notes: [...notes],
    cost: [...progress.seconds()].map(([stage, seconds]) => ({
      stage,
      seconds: Number(seconds.toFixed(3)),
      epochs: epochs[stage] ?? 0,
    })),
    baselines: [],
  };
}
