/** The policy's price list, as the selector asks it. */
import type { PolicyPrice } from '../../schema/policy.ts';
import { free, type Price, type PriceOf } from '../selector/candidates.ts';

/** The first entry that matches counts; what none matches is free. */
export function priceList(prices: readonly PolicyPrice[], model: string): PriceOf {
  const here = prices.filter((price) => price.model === '*' || price.model === model);
  if (here.length === 0) return free;
  return (nodeClass, level): Price =>
    here.find(
      (price) =>
        (price.nodeClass === '*' || price.nodeClass === nodeClass) &&
        (price.level === '*' || price.level === level),
    ) ?? free(nodeClass, level);
}
