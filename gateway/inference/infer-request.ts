/** What an inference request's headers ask for. */
import { headerNames, parseCostBudget, parseLatencyBudget, parseMinQuality } from '../../schema/headers.ts';
import type { Policy } from '../../schema/policy.ts';
import { largestDefaultMs, leastGrantMs } from '../policy/request-rules.ts';
import { memo } from '../state/memo.ts';

export interface RequestBudgets {
  /** Undefined where the client leaves it to the policy. */
  readonly latencyMs: number | undefined;
  readonly costNanoUsd: number | undefined;
  readonly minQuality: number | undefined;
  readonly slaClass: string | undefined;
}

/** Bounds a request without a budget of its own until the policy's is known. */
const UNKNOWN_BUDGET_MS = 30_000;
/** A policy may serve what is not to be had in so little time: the checks before that is known get this much. */
const LEAST_MS = 5;

/** Clients ask for few different budgets. */
const latencyBudget = memo(256, (text: string) => parseLatencyBudget(text));

/**
 * What bounds a request before anything else is known of it; a malformed budget is refused later.
 * @param policies that may govern it, as last read; undefined before any was
 * @param current whether that is what the request goes by, and not from before a pause: who leaves the budget to the policy has no more
 *   than it gives to anybody
 */
export function firstBoundMs(
  headers: Headers,
  policies: readonly Policy[] | undefined,
  current: boolean,
): number {
  const text = headers.get(headerNames.latencyBudget);
  if (text === null)
    return policies === undefined || !current
      ? UNKNOWN_BUDGET_MS
      : Math.max(LEAST_MS, ...policies.map(largestDefaultMs));
  const grantedMs = policies === undefined ? LEAST_MS : Math.min(...policies.map(leastGrantMs));
  try {
    return Math.max(LEAST_MS, grantedMs, latencyBudget(text));
  } catch {
    return UNKNOWN_BUDGET_MS;
  }
}

/** @throws `bad-header` */
export function readBudgets(headers: Headers): RequestBudgets {
  const parsed = <T>(name: string, parse: (text: string) => T): T | undefined => {
    const text = headers.get(name);
    return text === null ? undefined : parse(text);
  };
  return {
    latencyMs: parsed(headerNames.latencyBudget, latencyBudget),
    costNanoUsd: parsed(headerNames.costBudget, parseCostBudget),
    minQuality: parsed(headerNames.minQuality, parseMinQuality),
    slaClass: parsed(headerNames.slaClass, (text) => text.trim()),
  };
}
