/** What a joint recovery does: how long, at which levels, on which weights. */
import { stepCost } from './draw-levels.ts';

export interface RecoveryPlan {
  readonly steps: number;
  /** Kept units by pair, of every level, sparsest first, the last one dense. */
  readonly widths: readonly (readonly number[])[];
  /** Levels beside the sparsest and the dense one that a step trains. */
  readonly between: number;
  /** Only tensors of the pairs' linears, or all that training would change. */
  readonly train: 'all' | 'pairs';
  /** Relative step size at its peak. */
  readonly rate: number;
}

export const defaultRecovery = { between: 2, rate: 0.01, steps: 300 } as const;

/** Epochs of the dense model's training that a path may cost by default, all of its recovery. */
const MOST_EPOCHS = 1.5;

/**
 * Steps of recovery: those asked for, or by default as many as a short build affords, within a share of the data.
 * @param shares FLOPs of each level over the dense model's, ascending
 */
export function recoverySteps(
  asked: number | 'auto' | 'off',
  { examples, batch, shares }: { examples: number; batch: number; shares: readonly number[] },
): number {
  if (asked === 'off') return 0;
  if (asked !== 'auto') return asked;
  const affordable = (MOST_EPOCHS * examples) / (batch * stepCost(shares, defaultRecovery.between));
  return Math.max(1, Math.min(defaultRecovery.steps, Math.floor(affordable)));
}
