/** Turns widths into models: cut, and refitted where that is better on held-out data. */

import { availableParallelism } from 'node:os';
import type { Graph, Tensor } from '../graph/graph.ts';
import { divergences, squaredDistances } from '../measure/scores.ts';
import { cutGraph } from '../pairs/cut.ts';
import { answerGraph } from './answer.ts';
import { answersOf } from './answers.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import type { Pool } from './calibration.ts';
import { type DenseStreams, denseStreams } from './dense-streams.ts';
import type { BuildOptions } from './options.ts';
import type { Progress } from './progress.ts';
import { refitLevel } from './refit-level.ts';
import { throwIfAborted } from './search-stage.ts';

export interface LevelModel {
  readonly cut: Graph;
  readonly keep: readonly (readonly number[])[];
  /** Whether the output matrices are the level's own. */
  readonly refitted: boolean;
}

/** Kept unit indices by pair: the first `width` of each pair's order. */
export function keepAt(order: readonly (readonly number[])[], widths: readonly number[]): number[][] {
  return order.map((units, p) => units.slice(0, widths[p] ?? units.length));
}

/** Models of all levels, sparsest first. */
export async function buildLevels(
  { model, pool, holdoutTeacher }: CalibratedModel,
  order: readonly (readonly number[])[],
  widths: readonly (readonly number[])[],
  options: Pick<BuildOptions, 'compensate'>,
  progress: Progress,
  signal?: AbortSignal,
): Promise<LevelModel[]> {
  const threads = availableParallelism();
  const stage = progress.stage('compensate', widths.length);
  const streams = options.compensate ? await denseStreams(model, pool, threads) : undefined;
  const levels: LevelModel[] = [];
  for (const row of widths) {
    throwIfAborted(signal);
    const keep = keepAt(order, row);
    const plain: LevelModel = { cut: cutGraph(model, keep), keep, refitted: false };
    const dense = keep.every((units, p) => units.length === model.pairs[p]?.units);
    levels.push(streams === undefined || dense ? plain : await better(plain, streams));
    stage.update(levels.length);
  }
  stage.finish();
  return levels;

  /** The refitted level, unless it is further from the dense model on held-out examples. */
  async function better(plain: LevelModel, targets: DenseStreams): Promise<LevelModel> {
    const cut = await refitLevel(plain.cut, model.pairs, targets, threads);
    const losses = [];
    for (const graph of [plain.cut, cut])
      losses.push(await holdoutLoss(graph, pool, holdoutTeacher, threads));
    const [before = 0, after = 0] = losses;
    return after < before ? { ...plain, cut, refitted: true } : plain;
  }
}

/** Mean over the held-out rows of KL(dense || level), in nats, or of the squared distance. */
export async function holdoutLoss(
  graph: Graph,
  pool: Pool,
  teacher: Tensor,
  threads: number,
): Promise<number> {
  const asked = { split: pool.data.train, indices: pool.holdout, block: pool.block, threads };
  const distances = pool.task.loss === 'kl' ? divergences : squaredDistances;
  const rows = distances(teacher, await answersOf(answerGraph(graph, pool.task), asked));
  return rows.reduce((a, b) => a + b, 0) / rows.length;
}
