/** Turns widths into models: cut, compensate with the damping that does best on held-out data. */

import { availableParallelism } from 'node:os';
import { compensateLevel } from '../compensation/compensate-level.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { divergences, squaredDistances } from '../measure/scores.ts';
import { cutGraph } from '../pairs/cut.ts';
import type { PreparedModel } from '../pairs/pair.ts';
import type { Moments } from '../statistics/activation-moments.ts';
import { answerGraph } from './answer.ts';
import { answersOf } from './answers.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import type { Pool } from './calibration.ts';
import type { BuildOptions } from './options.ts';
import type { Progress } from './progress.ts';
import { throwIfAborted } from './search-stage.ts';

/** Relative dampings that are tried, weakest first. */
const DAMPINGS = [1e-4, 1e-3, 1e-2, 1e-1] as const;

export interface LevelModel {
  /** Dense shapes, the level's output matrices; cutting it to `keep` gives `cut`. */
  readonly full: Graph;
  readonly cut: Graph;
  readonly keep: readonly (readonly number[])[];
  /** Absent: the output matrices are the dense ones. */
  readonly damping?: number;
}

/** Kept unit indices by pair: the first `width` of each pair's order. */
export function keepAt(order: readonly (readonly number[])[], widths: readonly number[]): number[][] {
  return order.map((units, p) => units.slice(0, widths[p] ?? units.length));
}

export function plainLevel(model: PreparedModel, keep: readonly (readonly number[])[]): LevelModel {
  return { full: model.graph, cut: cutGraph(model, keep), keep };
}

/** Models of all levels, sparsest first. */
export async function buildLevels(
  calibrated: CalibratedModel,
  order: readonly (readonly number[])[],
  widths: readonly (readonly number[])[],
  options: Pick<BuildOptions, 'compensate'>,
  progress: Progress,
  signal?: AbortSignal,
): Promise<LevelModel[]> {
  const { model, moments, pool, holdoutTeacher } = calibrated;
  const stage = progress.stage('compensate', widths.length);
  const levels: LevelModel[] = [];
  for (const row of widths) {
    throwIfAborted(signal);
    const keep = keepAt(order, row);
    levels.push(
      options.compensate
        ? await compensatedLevel(model, keep, moments, pool, holdoutTeacher, availableParallelism())
        : plainLevel(model, keep),
    );
    stage.update(levels.length);
  }
  stage.finish();
  return levels;
}

/** The best of no compensation and of each damping, by the distance from the dense model on the pool's held-out examples. */
export async function compensatedLevel(
  model: PreparedModel,
  keep: readonly (readonly number[])[],
  moments: ReadonlyMap<string, Moments>,
  pool: Pool,
  holdoutTeacher: Tensor,
  threads: number,
): Promise<LevelModel> {
  const plain = plainLevel(model, keep);
  if (keep.every((units, p) => units.length === model.pairs[p]?.units)) return plain;
  let best = plain;
  let bestLoss = await holdoutLoss(plain.cut, pool, holdoutTeacher, threads);
  for (const damping of DAMPINGS) {
    const full = compensateLevel(model.graph, model.pairs, moments, keep, damping);
    const cut = cutGraph({ ...model, graph: full }, keep);
    const loss = await holdoutLoss(cut, pool, holdoutTeacher, threads);
    if (loss < bestLoss) [best, bestLoss] = [{ full, cut, keep, damping }, loss];
  }
  return best;
}

/** Mean over the held-out rows of KL(dense || level), in nats, or of the squared distance. */
async function holdoutLoss(graph: Graph, pool: Pool, teacher: Tensor, threads: number): Promise<number> {
  const asked = { split: pool.data.train, indices: pool.holdout, block: pool.block, threads };
  const distances = pool.task.loss === 'kl' ? divergences : squaredDistances;
  const rows = distances(teacher, await answersOf(answerGraph(graph, pool.task), asked));
  return rows.reduce((a, b) => a + b, 0) / rows.length;
}
