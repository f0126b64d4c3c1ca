/** Turns widths into models: cut, compensate with the damping that does best on held-out data. */

import { availableParallelism } from 'node:os';
import { compensateLevel } from '../compensation/compensate-level.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { cutGraph } from '../pairs/cut.ts';
import type { PreparedModel } from '../pairs/pair.ts';
import type { Moments } from '../statistics/activation-moments.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import { logitsOf, type Pool } from './calibration.ts';
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

/** The best of no compensation and of each damping, by KL(dense || level) on the pool's held-out examples. */
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

async function holdoutLoss(graph: Graph, pool: Pool, teacher: Tensor, threads: number): Promise<number> {
  return meanDivergence(teacher, await logitsOf(graph, pool, pool.holdout, threads));
}

/** Mean over rows of KL(softmax(p) || softmax(q)), in nats. */
export function meanDivergence(p: Tensor, q: Tensor): number {
  const classes = p.dims.at(-1) ?? 1;
  const [a, b] = [p.data as Float32Array, q.data as Float32Array];
  const rows = a.length / classes;
  let total = 0;
  for (let row = 0; row < rows; row++) {
    const logP = logSoftmax(a.subarray(row * classes, (row + 1) * classes));
    const logQ = logSoftmax(b.subarray(row * classes, (row + 1) * classes));
    for (const [c, lp] of logP.entries()) total += Math.exp(lp) * (lp - (logQ[c] as number));
  }
  return total / rows;
}

function logSoftmax(scores: Float32Array): Float64Array {
  const top = scores.reduce((x, y) => Math.max(x, y), Number.NEGATIVE_INFINITY);
  const logSum = Math.log(scores.reduce((sum, score) => sum + Math.exp(score - top), 0));
  return Float64Array.from(scores, (score) => score - top - logSum);
}
