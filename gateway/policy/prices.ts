/** The policy's price list, as the selector asks it. */
import type { PolicyPrice } from '../../schema/policy.ts';
import { free, type Price, type PriceOf } from '../selector/candidates.ts';

/** By list and model: the same object for the same policy, which tables are kept by. */
const known = new WeakMap<readonly PolicyPrice[], Map<string, PriceOf>>();

/** The price list of a policy in force, worked out once. */
export function pricesOf(prices: readonly PolicyPrice[], model: string): PriceOf {
  const lists = known.get(prices) ?? new Map<string, PriceOf>();
  known.set(prices, lists);
  const list = lists.get(model) ?? priceList(prices, model);
  lists.set(model, list);
  return list;
}

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
