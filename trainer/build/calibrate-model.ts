/** From a prepared model to a rotated one, with all that search and levels need to know of it. */
import { availableParallelism } from 'node:os';
import { SppError } from '../../schema/errors.ts';
import { type Dataset, matchInput } from '../data/dataset.ts';
import type { Tensor } from '../graph/graph.ts';
import type { PreparedModel } from '../pairs/pair.ts';
import { rotatePairs } from '../rotation/rotate-pairs.ts';
import type { Moments } from '../statistics/activation-moments.ts';
import { drawPool, logitsOf, measureMoments, type Pool } from './calibration.ts';
import type { BuildOptions } from './options.ts';
import type { Progress } from './progress.ts';

/** What search and levels work on: the rotated model, its moments, the examples and the dense model's answers. */
export interface CalibratedModel {
  readonly model: PreparedModel;
  readonly moments: ReadonlyMap<string, Moments>;
  readonly pool: Pool;
  readonly teacher: Tensor;
  readonly holdoutTeacher: Tensor;
}

/** Rotates the model by statistics of the training data, and asks the dense model for its answers. */
export async function calibrate(
  prepared: PreparedModel,
  dataset: Dataset,
  options: BuildOptions,
  progress: Progress,
): Promise<CalibratedModel> {
  const threads = availableParallelism();
  const input = matchInput(dataset, prepared.graph.inputs);
  const output = prepared.graph.outputs[0]?.name ?? '';
  const pool = drawPool(dataset, { input, output }, options.calibration, options.seed);

  const statistics = progress.stage('calibrate', Math.min(2048, pool.indices.length));
  const dense = await measureMoments(prepared.graph, prepared.pairs, pool, threads, statistics);
  statistics.finish();
  const turned = options.rotate
    ? rotatePairs(prepared.graph, prepared.pairs, dense)
    : { graph: prepared.graph, moments: dense };

  const answering = progress.stage('teacher', pool.indices.length);
  const teacher = await logitsOf(prepared.graph, pool, pool.indices, threads, answering);
  const holdoutTeacher = await logitsOf(prepared.graph, pool, pool.holdout, threads);
  answering.finish();
  const rotatedAnswers = await logitsOf(turned.graph, pool, pool.holdout, threads);
  refuseInexact(holdoutTeacher, rotatedAnswers);
  return {
    model: { ...prepared, graph: turned.graph },
    moments: turned.moments,
    pool,
    teacher,
    holdoutTeacher,
  };
}

/** The rotated model must be the dense one. */
function refuseInexact(dense: Tensor, rotated: Tensor): void {
  const [a, b] = [dense.data as Float32Array, rotated.data as Float32Array];
  const scale = a.reduce((max, value) => Math.max(max, Math.abs(value)), 1e-30);
  const error = a.reduce((max, value, i) => Math.max(max, Math.abs(value - (b[i] as number))), 0) / scale;
  if (!(error <= 1e-3)) {
    throw new SppError(
      'numerical-failure',
      `Rotation changed the model's output by ${error.toExponential(1)} (relative).`,
      {
        hint: 'Build with --no-rotate.',
      },
    );
  }
}
