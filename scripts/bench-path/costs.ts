/** What a method costs in epochs of the dense model's own training step: the part that is shared with others counts for each of them. */

import type { BuildOptions } from '../../trainer/build/options.ts';
import { epochsByStage } from '../../trainer/build/path-report.ts';
import type { Draw } from '../../trainer/recovery/draw-levels.ts';
import type { Method } from './methods.ts';

export interface CostScene {
  readonly options: Pick<BuildOptions, 'batch' | 'steps'>;
  /** Of one epoch. */
  readonly examples: number;
  /** Examples whose dense answers are kept. */
  readonly pool: number;
  /** Shares of the dense FLOPs, ascending, the last one 1. */
  readonly shares: readonly number[];
  readonly recoverySteps: number;
  /** Levels that a joint step trains. */
  readonly draw: Draw;
}

/** Steps of each level when levels are trained apart: the joint run's, or so many that together they are as many level-steps as its own. */
export function singleSteps(
  budget: 'total' | 'each',
  { recoverySteps, draw }: Pick<CostScene, 'recoverySteps' | 'draw'>,
  pruned: number,
): number {
  return budget === 'each'
    ? recoverySteps
    : Math.floor((recoverySteps * (draw.always + draw.between + 1)) / pruned);
}

/** Epochs by part; those of choosing what to keep are counted only where the differential inclusion does it. */
export function epochsOf(
  { ours, training }: Pick<Method, 'ours' | 'training'>,
  scene: CostScene,
): Record<string, number> {
  const { options, examples, pool, shares, recoverySteps, draw } = scene;
  const { recover, ...search } = epochsByStage(
    { ...options, recover: recoverySteps },
    { examples, pool, shares },
    draw,
  );
  if (training === undefined) return ours ? search : {};
  if (training === 'joint') return { ...search, recover: recover as number };
  const pruned = shares.slice(0, -1);
  const steps = singleSteps(training, scene, pruned.length);
  // Each step trains its level and asks the dense model, a third of a training step.
  const each = pruned.reduce((sum, share) => sum + share + 1 / 3, 0);
  return { ...search, recover: (steps * options.batch * each) / examples };
}
