/** What a build will take, before it is begun: a few examples and steps are timed, the rest is multiplied out. Nothing is written. */

import type { Dataset } from '../data/dataset.ts';
import { elementCount } from '../graph/graph.ts';
import type { Pair } from '../pairs/pair.ts';
import type { TracedModel } from '../pairs/prepare.ts';
import { type Draw, nestedDraw, widestDraw } from '../recovery/draw-levels.ts';
import { levelDraw } from '../recovery/plan.ts';
import { startSessionPool, weightBytes } from '../runtime/session-pool.ts';
import { allocateLevels, sizeAt } from '../search/allocate.ts';
import { indexUnits } from '../search/units.ts';
import { calibrate } from './calibrate-model.ts';
import { drawPool, momentExamples } from './calibration.ts';
import { chosenLayout } from './chosen-layout.ts';
import * as trials from './estimate-trials.ts';
import { levelShares, withoutRepeats } from './level-shares.ts';
import { LEVELS_AT_ONCE } from './level-stage.ts';
import { KEPT_BYTES, LATENCY_BATCHES } from './measure-levels.ts';
import { isLarge } from './memory-plan.ts';
import type { BuildOptions } from './options.ts';
import { stepsBehind, timedProgress } from './path-report.ts';
import { buildSizes, planOf } from './plan-build.ts';
import { silentProgress } from './progress.ts';
import { trained } from './recover-stage.ts';
import { FISHER_BATCHES } from './search-stage.ts';

/** Seconds on this machine, and how often. */
export interface BuildWork {
  /** By level, sparsest first, the last one dense. */
  readonly shares: readonly number[];
  /** Examples that statistics are taken of, that the dense model answers, and that each level is measured on. */
  readonly examples: Readonly<Record<'statistics' | 'answered' | 'heldOut' | 'tested', number>>;
  /** An example's statistics. */
  readonly statistics: number;
  /** A level's pass over one example, where many are computed. */
  readonly pass: trials.LinearCost;
  readonly searchSteps: number;
  readonly searchStep: number;
  readonly recovery: {
    readonly steps: number;
    readonly draw: Draw;
    /** Dense passes for each step's answers. */
    readonly answers: number;
    readonly level: trials.LinearCost;
  };
  readonly refit: (Pick<trials.RefitCost, 'streams' | 'level'> & { readonly times: number }) | undefined;
  readonly latency: { readonly rounds: number; readonly runs: readonly trials.LinearCost[] };
}

export interface StageEstimate {
  readonly stage: string;
  readonly seconds: number;
}

export interface Estimate {
  readonly stages: readonly StageEstimate[];
  readonly seconds: number;
  /** At its largest, in bytes: what the trial took, and what grows with the data and the levels. */
  readonly memoryBytes: number;
  /** What is chosen because of memory, and what the estimate does not know. */
  readonly notes: readonly string[];
}

/** A level's held-out loss as cut, refitted, and with its scores' matrix refitted. */
const OFFERS = 3;

/**
 * Times a few examples, steps and levels of the model on the data, and multiplies them out to what a build with these options does.
 * @param prepared as a build prepares it
 * @param now in ms
 * @throws what a build throws of data, labels and outputs
 */
export async function estimateBuild(
  prepared: TracedModel,
  dataset: Dataset,
  options: BuildOptions,
  now: () => number = () => performance.now(),
): Promise<Estimate> {
  const clock = timedProgress(silentProgress, now);
  const calibrated = await calibrate(
    prepared,
    dataset,
    { ...options, calibration: trials.TRIAL_EXAMPLES },
    clock,
  );
  const { model, moments } = calibrated;
  const { data, indices: tried } = calibrated.pool;
  const pool = drawPool(data, calibrated.pool, options.calibration, options.seed);
  const asked = levelShares(model, options);
  const levels = withoutRepeats(
    allocateLevels(model.pairs, evenOrder(model.pairs), model, asked.shares),
    asked.shares,
  );
  const { workers, threads } = await chosenLayout(prepared, options, silentProgress);
  const sizes = await buildSizes({ model, pool }, { ...options, workers });
  const memoryPlan = planOf(sizes, options);
  const { microBatch, train, byLevel } = memoryPlan;
  const engines = { ...options, workers, workerThreads: threads, microBatch };

  const weights = weightBytes(model.graph);
  const sessions = startSessionPool(weights);
  const scene = { calibrated: { ...calibrated, pool }, ...levels, sessions, now };
  const draw = byLevel ? widestDraw(levelDraw(levels.shares)) : nestedDraw;
  const steps = stepsBehind(options, options.recover, pool.all.length, levels.shares, draw);
  const refitted = options.compensate && !isLarge(weights);
  // Where levels own what is refitted, recovery begins with it, too, and is as long as that leaves it to be.
  const beginsRefitted = steps > 0 && byLevel && options.compensate && train !== 'vectors';
  const examples = {
    statistics: momentExamples(moments, tried.length, pool.indices.length),
    answered: pool.indices.length,
    heldOut: pool.holdout.length,
    tested: Math.min(options.testSamples, data.test.count),
  };
  try {
    const runs: trials.LinearCost[] = [];
    for (const batch of LATENCY_BATCHES) runs.push(await trials.runAlone(scene, batch));
    const refit = refitted ? await trials.refitCost(scene) : undefined;
    const work: BuildWork = {
      shares: levels.shares,
      examples,
      statistics: (clock.seconds().get('calibrate') ?? 0) / tried.length,
      pass: await trials.examplePass(scene),
      searchSteps: FISHER_BATCHES + options.steps,
      searchStep: await trials.searchStep(scene, engines),
      recovery: {
        steps,
        draw,
        answers: steps * options.batch <= pool.indices.length ? 0 : options.batch,
        level:
          steps === 0
            ? { fixed: 0, slope: 0 }
            : await trials.recoveryStep(scene, trained(model, train), train, engines),
      },
      refit: refit && { ...refit, times: beginsRefitted ? 2 : 1 },
      latency: { rounds: options.latencyRounds, runs },
    };
    const stages = stagesOf(work);
    const grows =
      examples.answered * elementCount(pool.answer) * 4 +
      Math.min(KEPT_BYTES, examples.tested * (await trials.feedBytes({ pool }))) +
      LEVELS_AT_ONCE * (refit?.bytes ?? 0) +
      (steps > 0 && byLevel ? 4 * sizes.own[train === 'pairs' ? 'pairs' : 'all'] : 0) +
      levels.widths.reduce((sum, row) => sum + 4 * sizeAt(model.pairs, row, model).params, 0);
    const needed = process.resourceUsage().maxRSS * 1024 + grows;
    return {
      stages,
      seconds: stages.reduce((sum, { seconds }) => sum + seconds, 0),
      memoryBytes: isLarge(weights) ? Math.min(needed, memoryPlan.budget) : needed,
      notes: [
        ...memoryPlan.notes,
        ...asked.notes,
        ...levels.notes,
        ...(beginsRefitted && options.recover === 'auto'
          ? [
              'at most: where levels begin near the dense model, recovery takes fewer steps and nothing is refitted after it',
            ]
          : []),
        ...(options.compensate && !refitted
          ? [
              'compensation of a model of this size is not tried: it is not in these figures, and may take longer than all of them',
            ]
          : []),
      ],
    };
  } finally {
    await sessions.close();
    await calibrated.teacher.close();
  }
}

/** Pure: what was timed, as often as a build does it. */
export function stagesOf(work: BuildWork): StageEstimate[] {
  const { shares, examples, pass, recovery, refit, latency } = work;
  const at = ({ fixed, slope }: trials.LinearCost, share: number) => fixed + slope * share;
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  const ofAll = (cost: trials.LinearCost, some: readonly number[] = shares) =>
    sum(some.map((share) => at(cost, share)));
  const { always, between, dense } = recovery.draw;
  const inner = shares.slice(always, -1);
  const drawn = Math.min(between, inner.length) / Math.max(1, inner.length);
  const step =
    ofAll(recovery.level, shares.slice(0, always)) +
    drawn * ofAll(recovery.level, inner) +
    (dense ? at(recovery.level, 1) : 0) +
    recovery.answers * at(pass, 1);
  const pruned = shares.slice(0, -1);
  const refitting =
    refit === undefined
      ? 0
      : refit.streams + pruned.length * refit.level + OFFERS * examples.heldOut * ofAll(pass, pruned);
  return [
    { stage: 'calibrate', seconds: examples.statistics * work.statistics },
    { stage: 'teacher', seconds: (examples.answered + examples.heldOut) * at(pass, 1) },
    { stage: 'curvature and search', seconds: work.searchSteps * work.searchStep },
    { stage: 'recover', seconds: recovery.steps * step },
    { stage: 'compensate', seconds: (refit?.times ?? 0) * refitting },
    { stage: 'measure', seconds: examples.tested * ofAll(pass) },
    { stage: 'latency', seconds: latency.rounds * sum(latency.runs.map((run) => ofAll(run))) },
  ];
}

/** Before a search, all pairs are cut alike. */
function evenOrder(pairs: readonly Pair[]): number[] {
  const { offsets } = indexUnits(pairs);
  return pairs
    .flatMap(({ units }, p) =>
      Array.from({ length: units }, (_, unit) => ({ flat: (offsets[p] ?? 0) + unit, depth: unit / units })),
    )
    .toSorted((a, b) => a.depth - b.depth)
    .map(({ flat }) => flat);
}
