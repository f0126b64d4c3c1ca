/** Recovery of a whole path, in the way that the options ask for and that fits: by level where compensation gives levels tensors of their own. */
import type { LimitLog } from '../engine/memory-limits.ts';
import { nestedDraw } from '../recovery/draw-levels.ts';
import type { RecoveryPlan } from '../recovery/plan.ts';
import { FAR, levelDraw } from '../recovery/plan.ts';
import { computeThreads } from '../runtime/compute.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import type { Pool } from './calibration.ts';
import type { Checkpoint } from './checkpoint.ts';
import { holdoutLoss } from './level-stage.ts';
import type { MemoryPlan } from './memory-plan.ts';
import type { BuildOptions } from './options.ts';
import { stepsBehind } from './path-report.ts';
import type { Progress } from './progress.ts';
import {
  type OwnRecoveryState,
  ownRecoveryStateSchema,
  type RecoveredLevels,
  recoverOwn,
} from './recover-own.ts';
import { type RecoveryState, recover, recoveryStateSchema } from './recover-stage.ts';

/** A calibrated model with the order of its units: recovery puts them into path order. */
export interface RecoveredPath extends CalibratedModel {
  readonly order: readonly (readonly number[])[];
  /** What recovery has to say. */
  readonly notes?: readonly string[];
  /** Where levels own more than what compensation refits: as recovery left them. */
  readonly recovered?: RecoveredLevels;
}

interface RecoveryRequest {
  readonly options: BuildOptions & Pick<MemoryPlan, 'microBatch'>;
  /** Whether levels own what recovery trains. */
  readonly byLevel: boolean;
  /** By pair, its units as the search orders them, where levels may begin with those, too. */
  readonly searched?: readonly (readonly number[])[] | undefined;
  readonly checkpoint: Checkpoint;
  readonly limits: LimitLog;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

/** @param examples that recovery draws from @param shares of the dense FLOPs, by level */
export function recoveryPlan(
  options: BuildOptions,
  { train, byLevel }: Pick<MemoryPlan, 'train' | 'byLevel'>,
  examples: number,
  widths: readonly (readonly number[])[],
  shares: readonly number[],
): RecoveryPlan {
  const { recover: asked, recoverRate: rate } = options;
  const draw = byLevel ? levelDraw(shares) : nestedDraw;
  return {
    draw,
    steps: stepsBehind(options, asked, examples, shares, draw),
    byNeed: asked === 'auto',
    widths,
    train,
    rate,
  };
}

/**
 * Trains what the plan says, from where an earlier run of the checkpoint had come.
 * @returns the path in path order, its model and levels as recovery left them; the same path where the plan has no steps
 * @throws `numerical-failure` when training diverges, `interrupted` with what was trained kept
 */
export async function recoverPath(
  { options, byLevel, searched, checkpoint, limits, progress, signal }: RecoveryRequest,
  path: RecoveredPath,
  plan: RecoveryPlan,
): Promise<RecoveredPath> {
  if (plan.steps === 0) return path;
  const order = path.order.map((units) => units.map((_, place) => place));
  if (byLevel) {
    const memory = {
      limits,
      state: await checkpoint.read('recovery-own', ownRecoveryStateSchema),
      save: (state: OwnRecoveryState) => checkpoint.write('recovery-own', state),
    };
    const request = { calibrated: path, order: path.order, searched, plan, options, memory, progress };
    const recovered = await recoverOwn({ ...request, ...(signal ? { signal } : {}) });
    return { ...path, model: recovered.model, order, recovered };
  }
  const memory = {
    limits,
    state: await checkpoint.read('recovery', recoveryStateSchema),
    save: (state: RecoveryState) => checkpoint.write('recovery', state),
  };
  const model = await recover(path, path.order, plan, options, memory, progress, signal);
  return withWord({ ...path, model, order });
}

/**
 * The path with what is to be said of its dense level: a loss that is finite is no failure, but steps that are too large can leave
 * nothing of the model.
 */
async function withWord(path: RecoveredPath): Promise<RecoveredPath> {
  const { model, pool, holdoutTeacher } = path;
  const loss = await holdoutLoss(model.graph, pool, holdoutTeacher, computeThreads());
  return loss > FAR ? { ...path, notes: [astray(loss, pool.task.loss)] } : path;
}

/** @param loss of the dense level, from the model as it was given */
function astray(loss: number, kind: Pool['task']['loss']): string {
  const distance = `${loss.toPrecision(2)} ${kind === 'kl' ? 'nats' : 'of the variance'}`;
  return `recovery left the dense level ${distance} from the model as it was: try --recover-rate at a third of what it was, or --recover off, with --force`;
}
