/** Measures every level the way it will be served: quality on the test split, latency by batch size. */

import { z } from 'zod';
import { type Quality, qualitySchema } from '../../schema/manifest.ts';
import type { PathLevel } from '../artifact/path-artifact.ts';
import { leanForward } from '../autodiff/lean-forward.ts';
import { keptFeeds } from '../data/kept-feeds.ts';
import { discardModel, ortModel } from '../graph/ort-model.ts';
import { measureLatency } from '../measure/latency.ts';
import { measureQuality } from '../measure/quality.ts';
import { scorers } from '../measure/scores.ts';
import { computeThreads } from '../runtime/compute.ts';
import { fastestBlock } from '../runtime/fastest-block.ts';
import type { OrtModel } from '../runtime/ort-session.ts';
import { inOrder, type SessionPool, startSessionPool, weightBytes } from '../runtime/session-pool.ts';
import { sizeAt } from '../search/allocate.ts';
import { measuredGraph } from './answer.ts';
import { type Answers, denseAnswers } from './answers.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { LevelModel } from './level-stage.ts';
import { isLarge } from './memory-plan.ts';
import type { BuildOptions } from './options.ts';
import type { Progress } from './progress.ts';
import { throwIfAborted } from './throw-if-aborted.ts';

/** Weights of levels whose latency is measured in turns: all are held at once. */
const TOGETHER_BYTES = 2 ** 30;
/** Of test examples that are kept between levels. */
export const KEPT_BYTES = 2 ** 28;
/** While one level's last examples are computed and the next level's model is made, the threads have the other's to do. */
const LEVELS_AT_ONCE = 2;
export const LATENCY_BATCHES = [1, 8] as const;

export interface MeasureRequest {
  readonly options: BuildOptions;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

/**
 * Quality of each level on test examples, then latency of all of them in turns. Qualities are checkpointed one by one, so that a run that
 * goes on measures only what is missing.
 * @param levels sparsest first
 * @param widths kept units by pair, of each level
 * @returns the levels as the artifact has them, in the same order
 */
export async function measureLevels(
  request: MeasureRequest,
  calibrated: CalibratedModel,
  levels: readonly LevelModel[],
  widths: readonly (readonly number[])[],
  checkpoint: Checkpoint,
): Promise<PathLevel[]> {
  const { options, progress } = request;
  const { model, pool } = calibrated;
  const test = keptFeeds(pool.data.test, KEPT_BYTES);
  const samples = Math.min(options.testSamples, test.count);
  const done = (await checkpoint.read('qualities', z.array(qualitySchema))) ?? [];
  const dense = await testAnswers(calibrated, samples);
  const measuring = progress.stage('measure', levels.length * samples, done.length * samples);
  const weights = weightBytes(model.graph);
  const sessions = startSessionPool(weights);
  const modelOf = async ({ cut }: LevelModel) => ortModel(await leanForward(measuredGraph(cut, pool.task)));
  try {
    const left = (levels.length - done.length) * samples;
    const first = levels[done.length];
    const block = first && (await blockFor(await modelOf(first), calibrated, left, sessions));
    const counted = levels.map((_, level) => (level < done.length ? samples : 0));
    const qualityOf = async (level: number): Promise<Quality> => {
      throwIfAborted(request.signal);
      const measured = await modelOf(levels[level] as LevelModel);
      const quality = await measureQuality({
        task: pool.task.measure,
        model: measured,
        output: pool.output,
        dense,
        split: test,
        samples,
        block: block as number,
        sessions,
        onProgress: (n) => {
          counted[level] = n;
          measuring.update(counted.reduce((a, b) => a + b, 0));
        },
      });
      discardModel(measured);
      return quality;
    };
    const missing = Array.from(levels.keys()).slice(done.length);
    await inOrder(missing, isLarge(weights) ? 1 : LEVELS_AT_ONCE, qualityOf, async (quality) => {
      done.push(quality);
      await checkpoint.write('qualities', done);
    });
  } finally {
    await sessions.close();
    await dense.close();
  }
  measuring.finish();
  const timing = progress.stage('latency', LATENCY_BATCHES.length * options.latencyRounds);
  const latencies = await measureLatency({
    models: levels.map(
      ({ cut }) =>
        () =>
          ortModel(cut),
    ),
    apart:
      widths.reduce((sum, width) => sum + 4 * sizeAt(model.pairs, width, model).params, 0) > TOGETHER_BYTES,
    feeds: (batch) => test.feeds(Array.from({ length: batch }, (_, i) => i % test.count)),
    batches: LATENCY_BATCHES,
    rounds: options.latencyRounds,
    device: 'cpu',
    onProgress: (n) => timing.update(n),
  });
  timing.finish();
  return levels.map(({ cut }, level) => {
    const row = widths[level] ?? [];
    const { flops, params } = sizeAt(model.pairs, row, model);
    const relativeFlops = Math.min(1, flops / model.flops);
    return {
      cut,
      widths: [...row],
      flops,
      params,
      relativeFlops,
      relativeParams: Math.min(1, params / model.params),
      sparsity: 1 - relativeFlops,
      quality: done[level] as (typeof done)[number],
      latency: latencies[level] ?? [],
    };
  });
}

/** The block that computes test examples fastest on this machine. @param total examples to compute */
async function blockFor(
  model: OrtModel,
  { pool }: CalibratedModel,
  total: number,
  sessions: SessionPool,
): Promise<number> {
  const { test } = pool.data;
  const session = await sessions.open(model);
  try {
    return await fastestBlock(session, {
      feeds: (examples) => test.feeds(Array.from({ length: examples }, (_, i) => i % test.count)),
      most: Math.max(1, Math.floor(pool.block / sessions.size)),
      total,
      threads: sessions.size,
    });
  } finally {
    await session.close();
  }
}

/** What levels are compared with, where there are no labels. */
export async function testAnswers({ pool, dense }: CalibratedModel, samples: number): Promise<Answers> {
  const { data, block } = pool;
  const needed = 'dense' in scorers[pool.task.measure].needs ? samples : 0;
  const indices = Array.from({ length: needed }, (_, i) => i);
  return denseAnswers(dense, { split: data.test, indices, block, threads: computeThreads() }, pool.answer);
}
