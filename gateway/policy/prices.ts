/** The policy's price list, as the selector asks it. */
import type { PolicyPrice } from '../../schema/policy.ts';
import { free, type Price, type PriceOf } from '../selector/candidates.ts';
import { memo } from '../state/memo.ts';

/** Classes of nodes, and levels: there are few of them. */
const KEPT = 256;

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

/** The first entry that matches counts; what none matches is free. Looked for once: requests ask for the same few again and again. */
export function priceList(prices: readonly PolicyPrice[], model: string): PriceOf {
  const here = prices.filter((price) => price.model === '*' || price.model === model);
  if (here.length === 0) return free;
  const found = (nodeClass: string, level: number): Price =>
    here.find(
      (price) =>
        (price.nodeClass === '*' || price.nodeClass === nodeClass) &&
        (price.level === '*' || price.level === level),
    ) ?? free(nodeClass, level);
  const byClass = memo(KEPT, (nodeClass: string) => memo(KEPT, (level: number) => found(nodeClass, level)));
  return (nodeClass, level) => byClass(nodeClass)(level);
}
