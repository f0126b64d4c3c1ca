/** Which share of a model its pairs make up: what a path can cut at most, but for the one unit that each pair keeps. */
import { sizeAt } from '../search/allocate.ts';
import type { PreparedModel } from './pair.ts';

export interface Reach {
  readonly flopsPercent: number;
  readonly paramsPercent: number;
}

/** Of all FLOPs and parameters, in percent. */
export function reachOfPairs(model: PreparedModel): Reach {
  const rest = sizeAt(
    model.pairs,
    model.pairs.map(() => 0),
    model,
  );
  const percent = (left: number, all: number) => (all === 0 ? 0 : (100 * (all - left)) / all);
  return {
    flopsPercent: percent(rest.flops, model.flops),
    paramsPercent: percent(rest.params, model.params),
  };
}
