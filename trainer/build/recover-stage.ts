/**
 * Joint recovery: one nested weight set, in path order, distilled at several levels a step, so that every level is ready when
 * the run ends. A level is the first so many units of each pair.
 */

import { z } from 'zod';
import { SppError } from '../../schema/errors.ts';
import type { Engine } from '../engine/engine.ts';
import { type LimitLog, noLimitLog } from '../engine/memory-limits.ts';
import { elementCount, type Graph, type Tensor } from '../graph/graph.ts';
import { trainableWeights } from '../graph/trainable-weights.ts';
import { orderGraph } from '../pairs/cut.ts';
import type { PreparedModel } from '../pairs/pair.ts';
import { type AdamState, adamStart, adamStep, rateAt, stepSizes } from '../recovery/adam.ts';
import { drawLevels, nestedDraw } from '../recovery/draw-levels.ts';
import { type Arrays, copies, copyInto } from '../recovery/named-arrays.ts';
import type { RecoveryPlan } from '../recovery/plan.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import type { BuildOptions } from './options.ts';
import type { Progress } from './progress.ts';
import { recoveryBatches } from './recovery-batches.ts';
import { recoveryEngine } from './recovery-engine.ts';
import { throwIfAborted } from './throw-if-aborted.ts';

/** Everything the next step depends on. */
export interface RecoveryState extends AdamState {
  readonly weights: Arrays;
}

/** By name, as checkpoints keep them. */
export const arrays: z.ZodType<Arrays> = z.map(z.string(), z.instanceof(Float32Array));
export const recoveryStateSchema: z.ZodType<RecoveryState> = z.object({
  step: z.int().nonnegative(),
  weights: arrays,
  first: arrays,
  second: arrays,
});

/** What a run remembers of recovery. */
export interface RecoveryMemory {
  readonly state: RecoveryState | undefined;
  /** What the run learns about memory. */
  readonly limits?: LimitLog;
  save(state: RecoveryState): Promise<void>;
}

export const forgetful: RecoveryMemory = { state: undefined, save: async () => {} };

const CHECKPOINT_EVERY = 50;
/** Of what is learnt about memory. */
export const LIMITS = 'recover';

/**
 * @param order units of each pair in path order
 * @returns the model in path order with recovered weights: level k is its first `widths[k]` units
 * @throws `numerical-failure` with the step and the level; the state before that step is kept
 */
export async function recover(
  calibrated: CalibratedModel,
  order: readonly (readonly number[])[],
  plan: RecoveryPlan,
  options: Pick<BuildOptions, 'backend' | 'workers' | 'workerThreads' | 'batch' | 'seed' | 'recompute'>,
  memory: RecoveryMemory,
  progress: Progress,
  signal?: AbortSignal,
): Promise<PreparedModel> {
  const { model } = calibrated;
  const ordered: PreparedModel = { ...model, graph: orderGraph(model, order) };
  const { state: saved, limits = noLimitLog } = memory;
  if (saved !== undefined && saved.step >= plan.steps) return withWeights(ordered, saved.weights);
  const stage = progress.stage('recover', plan.steps, saved?.step);
  const engine = await recoveryEngine(
    ordered,
    calibrated,
    plan,
    trained(ordered, plan.train),
    options,
    progress,
  );
  const batches = await recoveryBatches({ ...calibrated, model: ordered }, options, plan.steps);
  try {
    // Sizes are those of the weights as the run began, also when it goes on.
    const sizes = stepSizes(engine.weights);
    let state = restored(engine, saved);
    const kept = () => ({ ...state, weights: copies(engine.weights) });
    while (state.step < plan.steps) {
      if (signal?.aborted) {
        await memory.save(kept());
        throwIfAborted(signal);
      }
      const { feeds, loss: target, source } = await batches.at(state.step);
      const levels = drawLevels(source, plan.widths.length, nestedDraw.between);
      limits.before(LIMITS, state.step, engine);
      const { losses, weights: gradients } = await engine.stepAt(
        { feeds, loss: target },
        levels.map((level) => plan.widths[level] as readonly number[]),
      );
      await limits.after(LIMITS, state.step, engine);
      const wrong = losses.findIndex((loss) => !Number.isFinite(loss));
      if (wrong >= 0) {
        await memory.save(kept());
        throw diverged(losses[wrong] as number, state.step, levels[wrong] as number);
      }
      const rate = rateAt(state.step, plan.steps, plan.rate);
      state = adamStep(engine.weights, gradients, sizes, state, rate);
      if (state.step % CHECKPOINT_EVERY === 0) await memory.save(kept());
      stage.update(state.step, namedLosses(levels, losses, plan.widths.length));
    }
    await memory.save(kept());
    stage.finish();
    return withWeights(ordered, copies(engine.weights));
  } finally {
    await batches.close();
    await engine.close();
  }
}

/** Names of the tensors that recovery may change. */
export function trained(model: PreparedModel, which: RecoveryPlan['train']): string[] {
  const all = trainableWeights(model.graph);
  if (which === 'all') return all;
  if (which === 'vectors') return all.filter((name) => isVector(model.graph.initializers.get(name)));
  const own = new Set(
    model.pairs.flatMap(({ producers, consumers }) =>
      [...producers, ...consumers].flatMap(({ weight, bias }) => [
        weight.tensor,
        ...(bias ? [bias.tensor] : []),
      ]),
    ),
  );
  return all.filter((name) => own.has(name));
}

/** One axis, whatever others of length 1 stand around it. */
function isVector(tensor: Tensor | undefined): boolean {
  const dims = tensor?.dims ?? [];
  return elementCount(dims) === Math.max(0, ...dims);
}

function restored(engine: Engine, saved: RecoveryState | undefined): AdamState {
  if (saved === undefined) return adamStart(engine.weights);
  copyInto(engine.weights, saved.weights);
  return { step: saved.step, first: saved.first, second: saved.second };
}

function namedLosses(
  levels: readonly number[],
  losses: readonly number[],
  count: number,
): Record<string, number> {
  const nameOf = (level: number) => (level === 0 ? 'sparsest' : level === count - 1 ? 'dense' : 'between');
  return Object.fromEntries(levels.map((level, i) => [nameOf(level), losses[i] as number]));
}

/** @param weights by name; the model's other tensors stay */
function withWeights(model: PreparedModel, weights: Arrays): PreparedModel {
  const initializers = new Map(model.graph.initializers);
  for (const [name, data] of weights) {
    const tensor = initializers.get(name);
    if (tensor !== undefined) initializers.set(name, { ...tensor, data });
  }
  const graph: Graph = { ...model.graph, initializers };
  return { ...model, graph };
}

/** The error of a step whose loss is no number, with what to try. */
export function diverged(loss: number, step: number, level: number): SppError {
  return new SppError(
    'numerical-failure',
    `The loss is ${loss} at step ${step} of the recovery, at level ${level}.`,
    {
      hint: 'Try --recover-rate at a third of what it was, or --recover off, with --resume: what was searched is kept, and recovery begins anew.',
    },
  );
}
