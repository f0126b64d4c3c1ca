/** Sizes of a build, measured on the model, and the memory plan that follows from them. */
import { machineMemory } from '../../schema/machine-memory.ts';
import { candidateBackends, isOnnxruntime } from '../engine/backend-names.ts';
import { MICRO_BATCH } from '../engine/create-engine.ts';
import { elementCount, type Graph } from '../graph/graph.ts';
import { traceOnce } from '../graph/trace.ts';
import { widestDraw } from '../recovery/draw-levels.ts';
import { levelDraw, type RecoveryPlan } from '../recovery/plan.ts';
import { computeThreads } from '../runtime/compute.ts';
import { weightBytes } from '../runtime/session-pool.ts';
import { answerGraph } from './answer.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import { levelShares } from './level-shares.ts';
import { type BuildSizes, isLarge, type MemoryPlan, planMemory } from './memory-plan.ts';
import type { BuildOptions } from './options.ts';
import { namesByLevel } from './own-names.ts';
import { trained } from './recover-stage.ts';

type Planned = Pick<
  BuildOptions,
  'recover' | 'recoverWeights' | 'compensate' | 'backend' | 'workers' | 'levels' | 'grid' | 'lowest'
>;

/**
 * The memory plan of a build with these options on this machine.
 * @param options with the workers that were chosen
 */
export async function planBuild(
  calibrated: Pick<CalibratedModel, 'model' | 'pool'>,
  options: Planned,
): Promise<MemoryPlan> {
  return planOf(await buildSizes(calibrated, options), options);
}

/** The plan where sizes are known: the dry run measures them itself. */
export function planOf(
  sizes: BuildSizes,
  { backend: asked, recover, compensate, recoverWeights }: Planned,
): MemoryPlan {
  const [backend = 'onnxruntime'] = candidateBackends(asked);
  return planMemory(sizes, {
    recovers: recover !== 'off',
    compensates: compensate,
    train: recoverWeights,
    microBatch: MICRO_BATCH[backend],
  });
}

/** @param machine bytes of memory that it has */
export async function buildSizes(
  { model, pool }: Pick<CalibratedModel, 'model' | 'pool'>,
  options: Planned,
  machine: number = machineMemory(),
): Promise<BuildSizes> {
  const weights = weightBytes(model.graph);
  const { shares } = levelShares(model, options);
  const draw = widestDraw(levelDraw(shares));
  const namesOf = (train: RecoveryPlan['train']) =>
    namesByLevel(model, pool, { train, widths: shares, draw });
  const bytesOf = (names: readonly string[]) =>
    names.reduce((sum, name) => sum + 4 * elementCount(model.graph.initializers.get(name)?.dims ?? []), 0);
  const byWeights = (of: (train: RecoveryPlan['train']) => readonly string[]) => ({
    all: bytesOf(of('all')),
    pairs: bytesOf(of('pairs')),
  });
  const [backend = 'onnxruntime'] = candidateBackends(options.backend);
  const graph = answerGraph(model.graph, pool.task);
  return {
    weights,
    trainable: byWeights((train) => trained(model, train)),
    own: byWeights((train) => namesOf(train).flat()),
    ownAll: byWeights((train) => namesOf(train).slice(0, draw.always).flat()),
    activations:
      isLarge(weights) && isOnnxruntime(backend) ? await activationBytes(graph, pool.data.length) : undefined,
    workers: options.workers ?? computeThreads(),
    machine,
  };
}

/** Of all values that the graph computes on one example; undefined where it does not run on one of that length. */
async function activationBytes(graph: Graph, length: number): Promise<number | undefined> {
  const trace = await traceOnce(graph, { batch: 1, length }).catch(() => undefined);
  return (
    trace &&
    graph.nodes
      .flatMap(({ outputs }) => outputs)
      .reduce((sum, output) => sum + 4 * elementCount(trace.dims.get(output) ?? []), 0)
  );
}
