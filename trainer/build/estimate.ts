/** What a build will take, before it is begun: a few examples and steps are timed, the rest is multiplied out. Nothing is written. */

import type { Dataset } from '../data/dataset.ts';
import { createEngine } from '../engine/engine.ts';
import { createMaskEngine } from '../engine/mask-engine.ts';
import { elementCount } from '../graph/graph.ts';
import type { TracedModel } from '../pairs/prepare.ts';
import { stepCost } from '../recovery/draw-levels.ts';
import { levelDraw, recoverySteps } from '../recovery/plan.ts';
import { computeThreads } from '../runtime/compute.ts';
import { answerGraph } from './answer.ts';
import { calibrate } from './calibrate-model.ts';
import { denseStreams, refitSites } from './dense-streams.ts';
import { levelShares } from './level-shares.ts';
import type { BuildOptions } from './options.ts';
import { planBuild } from './plan-build.ts';
import { silentProgress } from './progress.ts';
import { trained } from './recover-stage.ts';
import { FISHER_BATCHES } from './search-stage.ts';

export interface StageEstimate {
  readonly stage: string;
  readonly seconds: number;
}

export interface Estimate {
  readonly stages: readonly StageEstimate[];
  readonly seconds: number;
  /** At its largest, in bytes: what the trial took, and what grows with the data. */
  readonly memoryBytes: number;
  /** What is chosen because of memory. */
  readonly notes: readonly string[];
}

const TRIAL_EXAMPLES = 64;
const FLOAT_BYTES = 4;

export async function estimateBuild(
  prepared: TracedModel,
  dataset: Dataset,
  options: BuildOptions,
  now: () => number = () => performance.now(),
): Promise<Estimate> {
  const timed = async <Value>(work: () => Promise<Value>): Promise<[Value, number]> => {
    const from = now();
    const value = await work();
    return [value, (now() - from) / 1000];
  };
  const trial = { ...options, calibration: TRIAL_EXAMPLES };
  const calibrated = await calibrate(prepared, dataset, trial, silentProgress);
  const { pool, model } = calibrated;
  const graph = answerGraph(model.graph, pool.task);
  const workers = options.workers ?? Math.min(8, computeThreads());
  const { shares, notes } = levelShares(model, options);
  const meanShare = shares.reduce((a, b) => a + b, 0) / shares.length;

  const places = Array.from({ length: options.batch }, (_, i) => i % pool.indices.length);
  const feeds = await pool.data.train.feeds(places.map((place) => pool.indices[place] as number));
  const teacher = await calibrated.teacher.rows(places);
  await calibrated.teacher.close();
  const memoryPlan = await planBuild(calibrated, { ...options, workers });
  const loss = { kind: pool.task.loss, output: pool.output, teacher };

  const masks = model.pairs.map(({ units }) => new Float32Array(units).fill(1));
  const { backend, recompute } = options;
  const { microBatch } = memoryPlan;
  const shared = { graph, backend, workers, recompute, microBatch };
  const searcher = await createMaskEngine({ ...shared, pairs: model.pairs });
  await searcher.step({ feeds, masks, loss });
  const [, searchStep] = await timed(() => searcher.step({ feeds, masks, loss }));
  await searcher.close();

  const all = pool.all.length;
  const steps = recoverySteps(options.recover, { examples: all, batch: options.batch, shares });
  let recoverStep = 0;
  if (steps > 0) {
    const weights = trained(model, memoryPlan.train);
    const masked = { pairs: model.pairs, maskGradients: false };
    const engine = await createEngine({
      ...shared,
      weights,
      ...(memoryPlan.train === 'vectors' ? masked : { nested: model }),
    });
    const step = { feeds, loss, ...(memoryPlan.train === 'vectors' ? { masks } : {}) };
    await engine.step(step);
    [, recoverStep] = await timed(() => engine.step(step));
    await engine.close();
  }

  const [streams, streamSeconds] = await timed(() =>
    denseStreams(model, refitSites(model), pool, computeThreads()),
  );
  const streamed = streams.blocks.reduce((sum, { targets }) => sum + (targets[0]?.dims[0] ?? 0), 0);
  const perExample = streamSeconds / Math.max(1, Math.min(pool.indices.length, streamed));
  const drawn = Math.min(options.calibration, all);
  const tested = Math.min(options.testSamples, pool.data.test.count);
  const stages: StageEstimate[] = [
    { stage: 'calibrate and teacher', seconds: 2 * drawn * perExample },
    { stage: 'curvature and search', seconds: (FISHER_BATCHES + options.steps) * searchStep },
    {
      stage: 'recover',
      seconds: steps * recoverStep * stepCost(shares, levelDraw(shares)),
    },
    {
      stage: 'compensate',
      // Each matrix is refitted on a forward pass up to it: half of one on average. Recovery begins and ends with it.
      seconds: options.compensate
        ? (steps > 0 ? 2 : 1) *
          shares.length *
          meanShare *
          refitSites(model).length *
          0.5 *
          Math.min(drawn, 512) *
          perExample
        : 0,
    },
    { stage: 'measure', seconds: shares.length * meanShare * tested * perExample },
  ];
  const grows = drawn * elementCount(pool.answer) * FLOAT_BYTES;
  return {
    stages,
    seconds: stages.reduce((sum, { seconds }) => sum + seconds, 0),
    memoryBytes: process.memoryUsage().rss + grows,
    notes: [...memoryPlan.notes, ...notes],
  };
}
