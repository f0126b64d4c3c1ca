/** Which levels a step of joint recovery trains: the sandwich rule (Yu and Huang, ICCV 2019). */
import { type RandomSource, shuffledRange } from '../search/random.ts';

/** The sparsest, the dense one, and `between` different ones drawn from those between. */
export function drawLevels(source: RandomSource, levels: number, between: number): number[] {
  const inner = shuffledRange(source, Math.max(0, levels - 2)).map((level) => level + 1);
  return [...new Set([0, ...inner.slice(0, between), levels - 1])];
}

/**
 * The same, each of those between drawn with a chance that grows with the root of its loss: levels that are near the dense model need
 * little more, and get a fifth of the largest chance at least.
 * @param losses by level; NaN where a level was never trained, which counts as much as the largest
 */
export function drawByLoss(source: RandomSource, losses: ArrayLike<number>, between: number): number[] {
  const known = Array.from(losses).filter((loss) => loss > 0);
  const largest = known.reduce((most, loss) => Math.max(most, loss), 0) || 1;
  const left = Array.from({ length: Math.max(0, losses.length - 2) }, (_, i) => ({
    level: i + 1,
    chance: Math.max(LEAST_CHANCE, Math.sqrt((losses[i + 1] || largest) / largest)),
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
  return [...new Set([0, ...drawn, losses.length - 1])];
}

const LEAST_CHANCE = 0.2;

/**
 * Steps that a budget allows, and what one costs, in dense training steps.
 * @param shares FLOPs of each level over the dense model's, ascending
 */
export function stepCost(shares: readonly number[], between: number): number {
  const inner = shares.slice(1, -1);
  const mean = inner.reduce((a, b) => a + b, 0) / Math.max(1, inner.length);
  return (shares[0] ?? 1) + Math.min(between, inner.length) * mean + (shares.length > 1 ? 1 : 0);
}
