/** Which levels a step of joint recovery trains: the sandwich rule (Yu and Huang, ICCV 2019). */
import { type RandomSource, shuffledRange } from '../search/random.ts';

/** The sparsest, the dense one, and `between` different ones drawn from those between. */
export function drawLevels(source: RandomSource, levels: number, between: number): number[] {
  const inner = shuffledRange(source, Math.max(0, levels - 2)).map((level) => level + 1);
  return [...new Set([0, ...inner.slice(0, between), levels - 1])];
}

/** How many levels a step trains. */
export interface Draw {
  /** The sparsest so many in every step. */
  readonly always: number;
  /** So many more behind them, as far as they begin far from the dense model; none by default. */
  readonly whereFar?: number;
  /** Drawn from those above them. */
  readonly between: number;
  /** Whether every step trains the dense one too: where all levels share all weights. */
  readonly dense?: true;
}

/** Where all levels share all weights: the sandwich rule's. */
export const nestedDraw = { always: 1, between: 2, dense: true } as const satisfies Draw;

/**
 * The sparsest levels and some of those above, each drawn with a chance that grows with the root of its loss: levels that are near the
 * dense model need little more, and get a fifth of the largest chance at least.
 * @param losses by level; NaN where a level was never trained, which counts as much as the largest
 * @param rates by level; those of rate 0 are not trained
 */
export function drawByLoss(
  source: RandomSource,
  losses: ArrayLike<number>,
  rates: readonly number[],
  { always, between }: Draw,
): number[] {
  const trained = rates.flatMap((rate, level) => (rate > 0 ? [level] : []));
  const inner = trained.filter((level) => level >= always);
  const largest = inner.reduce((most, level) => Math.max(most, losses[level] || 0), 0) || 1;
  const left = inner.map((level) => ({
    level,
    chance: Math.max(LEAST_CHANCE, Math.sqrt((losses[level] || largest) / largest)),
  }));
  const drawn: number[] = [];
  while (drawn.length < between && left.length > 0) {
    let rest = source.uniform() * left.reduce((sum, { chance }) => sum + chance, 0);
    const place = left.findIndex(({ chance }) => {
      rest -= chance;
      return rest < 0;
    });
    const [taken] = left.splice(place < 0 ? left.length - 1 : place, 1);
    if (taken !== undefined) drawn.push(taken.level);
  }
  return [...trained.filter((level) => level < always), ...drawn];
}

const LEAST_CHANCE = 0.2;

/** As if all levels began far from the dense model: what memory and time are planned for. */
export function widestDraw({ whereFar = 0, ...draw }: Draw): Draw {
  return { ...draw, always: draw.always + whereFar };
}

/**
 * What a step costs at most, in dense training steps.
 * @param shares FLOPs of each level over the dense model's, ascending
 */
export function stepCost(shares: readonly number[], draw: Draw): number {
  const { always, between, dense } = widestDraw(draw);
  const sum = (some: readonly number[]) => some.reduce((a, b) => a + b, 0);
  const inner = shares.slice(always, -1);
  const mean = sum(inner) / Math.max(1, inner.length);
  return sum(shares.slice(0, always)) + Math.min(between, inner.length) * mean + (dense ? 1 : 0);
}
