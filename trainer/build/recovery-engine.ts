/** The engine of a joint recovery, whether levels own tensors or not. */
import { createEngine } from '../engine/create-engine.ts';
import type { Engine } from '../engine/engine.ts';
import type { PreparedModel } from '../pairs/pair.ts';
import type { RecoveryPlan } from '../recovery/plan.ts';
import { computeThreads } from '../runtime/compute.ts';
import { answerGraph } from './answer.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import type { BuildOptions } from './options.ts';
import { type Progress, sayHalved, sayRecompute } from './progress.ts';

const MOST_WORKERS = 8;

export type RecoveryEngineOptions = Pick<
  BuildOptions,
  'backend' | 'workers' | 'workerThreads' | 'recompute'
> & {
  /** Examples that a worker computes at once, at most. */
  readonly microBatch?: number | undefined;
};

/**
 * @param ordered the model in path order: a level is the first so many units of each pair
 * @param weights names of the tensors that are trained
 */
export function recoveryEngine(
  ordered: PreparedModel,
  { pool: { task } }: Pick<CalibratedModel, 'pool'>,
  { train }: Pick<RecoveryPlan, 'train'>,
  weights: readonly string[],
  options: RecoveryEngineOptions,
  progress: Progress,
): Promise<Engine> {
  const graph = answerGraph(ordered.graph, task);
  return createEngine({
    graph,
    backend: options.backend,
    // Others lead to outputs that the path does not keep, and stay as they are.
    weights: weights.filter((name) => graph.initializers.has(name)),
    // Cut within the graph, matrices would be held a second time; that saves time where they are trained, and copied, anyway.
    ...(train === 'vectors' ? { pairs: ordered.pairs, maskGradients: false } : { nested: ordered }),
    workers: options.workers ?? Math.min(MOST_WORKERS, computeThreads()),
    workerThreads: options.workerThreads ?? 1,
    recompute: options.recompute,
    microBatch: options.microBatch,
    onHalved: sayHalved(progress),
    onRecompute: sayRecompute(progress),
  });
}
