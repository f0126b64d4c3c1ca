/** Which share of a model its pairs make up: what a path can cut at most, but for the one unit that each pair keeps. */
import type { PreparedModel } from './pair.ts';

export interface Reach {
  readonly flopsPercent: number;
  readonly paramsPercent: number;
}

export function reachOfPairs({ pairs, flops, params }: PreparedModel): Reach {
  const percent = (perUnit: 'flopsPerUnit' | 'paramsPerUnit', all: number) =>
    all === 0 ? 0 : (100 * pairs.reduce((sum, pair) => sum + pair[perUnit] * pair.units, 0)) / all;
  return { flopsPercent: percent('flopsPerUnit', flops), paramsPercent: percent('paramsPerUnit', params) };
}
