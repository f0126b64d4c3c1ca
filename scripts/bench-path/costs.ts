/** What a method costs in epochs of the dense model's own training step: the part that is shared with others counts for each of them. */

import type { BuildOptions } from '../../trainer/build/options.ts';
import { epochsByStage } from '../../trainer/build/path-report.ts';
import { type Draw, stepCost } from '../../trainer/recovery/draw-levels.ts';
import { ANSWERS } from '../../trainer/recovery/plan.ts';
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
  /** Levels that a joint step trains, at most. */
  readonly draw: Draw;
  /** Those that it did train, once that is known. */
  readonly settled?: Draw | undefined;
}

/** A step of every pruned level by itself, in the dense model's own training steps. */
const stepOfEach = (shares: CostScene['shares']) =>
  shares.slice(0, -1).reduce((sum, share) => sum + share + ANSWERS, 0);

/** Steps of each level when levels are trained apart: the joint run's, or so many that all together cost what it costs. */
export function singleSteps(
  budget: 'total' | 'each',
  { recoverySteps, draw, shares }: Pick<CostScene, 'recoverySteps' | 'draw' | 'shares'>,
): number {
  if (budget === 'each') return recoverySteps;
  return Math.floor((recoverySteps * (stepCost(shares, draw) + ANSWERS)) / stepOfEach(shares));
}

/** Epochs by part; those of choosing what to keep are counted only where the differential inclusion does it. */
export function epochsOf(
  { ours, training }: Pick<Method, 'ours' | 'training'>,
  scene: CostScene,
): Record<string, number> {
  const { options, examples, pool, shares, recoverySteps, draw, settled = draw } = scene;
  const { recover, ...search } = epochsByStage(
    { ...options, recover: recoverySteps },
    { examples, pool, shares },
    settled,
  );
  if (training === undefined) return ours ? search : {};
  if (training === 'joint') return { ...search, recover: recover as number };
  const steps = singleSteps(training, scene);
  return { ...search, recover: (steps * options.batch * stepOfEach(shares)) / examples };
}
