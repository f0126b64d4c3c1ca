/** What a joint recovery does: how long, at which levels, on which weights. */
import { type Draw, stepCost } from './draw-levels.ts';

export interface RecoveryPlan {
  readonly steps: number;
  /** Whether fewer and smaller ones do where levels begin near the dense model. */
  readonly byNeed?: boolean;
  /** Kept units by pair, of every level, sparsest first, the last one dense. */
  readonly widths: readonly (readonly number[])[];
  /** Which levels a step trains. Those of every step own all that is trained, where levels may own anything. */
  readonly draw: Draw;
  /** Only tensors of the pairs' linears, all that training would change, or of these the scales and biases, by level. */
  readonly train: 'all' | 'pairs' | 'vectors';
  /** Relative step size at its peak. */
  readonly rate: number;
}

export const defaultRecovery = { between: 2, rate: 0.01, steps: 300 } as const;

/** Most FLOPs and weights of the levels that own all, together, over the dense model's: wherever they begin, and where they begin far from it. */
const MOST_OWNED = { anywhere: 1.25, far: 1.75 } as const;
/** A twentieth of the loss from which on recovery is as long as it may be: nearer levels lose nothing by sharing. */
const WORTH_OWNING = 0.01;

/**
 * The sparsest levels, as many as together are less than two dense models, are trained in every step: that costs little more than
 * these do, and keeping all of their weights apart few more bytes. They are those that differ most from the dense model, and from each other;
 * the last of them only where they do.
 * @param shares FLOPs of each level over the dense model's, ascending
 */
export function levelDraw(shares: readonly number[], between: number = defaultRecovery.between): Draw {
  const pruned = shares.slice(0, -1);
  const sums = pruned.map((_, level) => pruned.slice(0, level + 1).reduce((sum, share) => sum + share, 0));
  const within = (most: number) => sums.filter((sum, level) => level === 0 || sum <= most).length;
  const always = within(MOST_OWNED.anywhere);
  const whereFar = within(MOST_OWNED.far) - always;
  return { always, ...(whereFar > 0 ? { whereFar } : {}), between };
}

/** The draw once it is known where levels begin. @param losses by level, as far as they are known */
export function settledDraw({ whereFar = 0, ...draw }: Draw, losses: readonly (number | undefined)[]): Draw {
  const behind = losses.slice(draw.always, draw.always + whereFar);
  const near = behind.findIndex((loss) => loss !== undefined && loss < WORTH_OWNING);
  return { ...draw, always: draw.always + (near < 0 ? behind.length : near) };
}

/** Epochs of the dense model's own training step that a path may cost by default, and within them its recovery, at least and at most. */
const PATH_EPOCHS = 3;
const RECOVERY_EPOCHS = { least: 1, most: 2.5 } as const;
/** The dense model's answers to the examples of a step, in its own training steps: forward, without twice as much backward (Kaplan et al., 2020). */
export const ANSWERS = 1 / 3;

/** The loss from which on recovery is as long as it may be: a fifth of a nat, or of the variance. */
export const FAR = 0.2;

/** A loss of half a thousandth of a nat, or of the variance, is less than a test split can tell: such a level needs nothing. */
export const NEAR = 5e-4;

/** The loss from which on steps are as large as they may be. */
const FAR_FOR_RATE = 0.02;

/**
 * How many steps are worth taking, as a share of the most, by how far weights have to go: near its least a loss grows with the square of
 * the distance.
 * @param losses by level, as recovery begins, on held-out examples
 */
export function need(losses: readonly number[]): number {
  const largest = losses.reduce((max, loss) => Math.max(max, loss), 0);
  return Math.min(1, Math.sqrt(largest / FAR));
}

/** Share of a run's steps for which levels that may begin in two ways are trained from both. */
export const TRIAL = 0.25;

/**
 * Where compensation brings a level no nearer than that much, the level as it was cut may be the better beginning. Others never catch up in a trial: of a LLaMA's
 * levels, which begin 1.7 to 3.4 times as far, none did, of MiniLM's the two that begin 1.2 and 1.3 times as far.
 */
export const WORTH_TRYING = 1.4;

/**
 * So much farther at the end of a trial, and what began farther still comes nearer faster, with the most of the run before it: MiniLM's level of 5 % of the FLOPs, 1 to
 * 2.6 % farther by then, ended 1 to 3 % nearer; that of 20 %, 3.1 % farther, ended 6 % farther.
 */
export const CLOSING = 1.03;

/**
 * How many steps are left where some are taken from two beginnings, at the same cost.
 * @param steps from one beginning
 * @param shares FLOPs of each level over the dense model's, ascending
 * @param tried levels that have two
 */
export function stepsWithTrial(
  steps: number,
  shares: readonly number[],
  draw: Draw,
  tried: readonly number[],
): number {
  const twice = tried.reduce((sum, level) => sum + (shares[level] ?? 0), 0);
  const longer = (TRIAL * twice) / (stepCost(shares, draw) + ANSWERS);
  return Math.min(steps, Math.max(1, Math.floor(steps / (1 + longer))));
}

/**
 * How large each level's steps are, as a share of the largest, for the same reason: steps for a level that is far would throw one that is
 * near farther away than it began.
 * @param losses by level, sparsest first, as recovery begins, on held-out examples, as far as they are known; the last is the dense level,
 *   which has nowhere to go
 */
export function rateShares(losses: readonly (number | undefined)[]): number[] {
  return losses.map((loss, level) => {
    if (level === losses.length - 1) return 0;
    if (loss === undefined) return 1;
    return loss <= NEAR ? 0 : Math.min(1, Math.sqrt(loss / FAR_FOR_RATE));
  });
}

/**
 * Steps of recovery: those asked for, or by default as many as a short build affords, of what the search leaves.
 * @param shares FLOPs of each level over the dense model's, ascending
 * @param searched epochs before recovery
 */
export function recoverySteps(
  asked: number | 'auto' | 'off',
  {
    examples,
    batch,
    shares,
    searched,
    draw = levelDraw(shares),
  }: { examples: number; batch: number; shares: readonly number[]; searched: number; draw?: Draw },
): number {
  if (asked === 'off') return 0;
  if (asked !== 'auto') return asked;
  const { least, most } = RECOVERY_EPOCHS;
  const epochs = Math.min(most, Math.max(least, PATH_EPOCHS - searched));
  const affordable = (epochs * examples) / (batch * (stepCost(shares, draw) + ANSWERS));
  return Math.max(1, Math.min(defaultRecovery.steps, Math.floor(affordable)));
}
