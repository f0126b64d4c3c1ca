/** The engine of a joint recovery, whether levels own tensors or not. */
import { createEngine, type Engine } from '../engine/engine.ts';
import type { PreparedModel } from '../pairs/pair.ts';
import { computeThreads } from '../runtime/compute.ts';
import { answerGraph } from './answer.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import type { BuildOptions } from './options.ts';
import { type Progress, sayHalved, sayRecompute } from './progress.ts';

const MOST_WORKERS = 8;

/**
 * @param ordered the model in path order: a level is the first so many units of each pair
 * @param weights names of the tensors that are trained
 */
export function recoveryEngine(
  ordered: PreparedModel,
  { pool: { task } }: Pick<CalibratedModel, 'pool'>,
  weights: readonly string[],
  options: Pick<BuildOptions, 'backend' | 'workers' | 'workerThreads' | 'recompute'>,
  progress: Progress,
): Promise<Engine> {
  return createEngine({
    graph: answerGraph(ordered.graph, task),
    backend: options.backend,
    weights,
    nested: ordered,
    workers: options.workers ?? Math.min(MOST_WORKERS, computeThreads()),
    workerThreads: options.workerThreads ?? 1,
    recompute: options.recompute,
    onHalved: sayHalved(progress),
    onRecompute: sayRecompute(progress),
  });
}
