/** Which levels a step of joint recovery trains: the sandwich rule (Yu and Huang, ICCV 2019). */
import { type RandomSource, shuffledRange } from '../search/random.ts';

/** The sparsest, the dense one, and `between` different ones drawn from those between. */
export function drawLevels(source: RandomSource, levels: number, between: number): number[] {
  const inner = shuffledRange(source, Math.max(0, levels - 2)).map((level) => level + 1);
  return [...new Set([0, ...inner.slice(0, between), levels - 1])];
}

/**
 * Steps that a budget allows, and what one costs, in dense training steps.
 * @param shares FLOPs of each level over the dense model's, ascending
 */
export function stepCost(shares: readonly number[], between: number): number {
  const inner = shares.slice(1, -1);
  const mean = inner.reduce((a, b) => a + b, 0) / Math.max(1, inner.length);
  return (shares[0] ?? 1) + Math.min(between, inner.length) * mean + (shares.length > 1 ? 1 : 0);
}
