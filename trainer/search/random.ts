/** Seeded randomness that needs no state between steps: step k of a run draws the same whether or not it was resumed. */
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

export interface RandomSource {
  /** Integer in [0, bound). */
  below(bound: number): number;
  /** In [0, 1). */
  uniform(): number;
}

/** Purposes draw from streams of their own, so that adding a draw to one moves no other. */
export const streams = {
  calibration: 1,
  fisher: 2,
  search: 3,
  baseline: 4,
  holdout: 5,
  samples: 6,
  guard: 7,
  split: 8,
  recovery: 9,
} as const;

/** The source of one step of one stream of a seeded run. */
export function randomSource(seed: number, stream: number, step: number): RandomSource {
  const generator = xoroshiro128plus(
    (Math.imul(seed, 0x9e3779b1) ^ Math.imul(stream, 0x85ebca6b) ^ Math.imul(step + 1, 0xc2b2ae35)) | 0,
  );
  return {
    below: (bound) => uniformInt(generator, 0, bound - 1),
    uniform: () => uniformFloat64(generator),
  };
}

/** `size` indices below `count`, with replacement. */
export function sampleIndices(source: RandomSource, count: number, size: number): number[] {
  return Array.from({ length: size }, () => source.below(count));
}

/** A uniformly random order of 0..count-1. */
export function shuffledRange(source: RandomSource, count: number): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = source.below(i + 1);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}
