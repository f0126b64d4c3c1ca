/** What an inference request's headers ask for. */
import { headerNames, parseCostBudget, parseLatencyBudget, parseMinQuality } from '../../schema/headers.ts';

export interface RequestBudgets {
  /** Undefined where the client leaves it to the policy. */
  readonly latencyMs: number | undefined;
  readonly costNanoUsd: number | undefined;
  readonly minQuality: number | undefined;
  readonly slaClass: string | undefined;
}

/** @throws `bad-header` */
export function readBudgets(headers: Headers): RequestBudgets {
  const parsed = <T>(name: string, parse: (text: string) => T): T | undefined => {
    const text = headers.get(name);
    return text === null ? undefined : parse(text);
  };
  return {
    latencyMs: parsed(headerNames.latencyBudget, parseLatencyBudget),
    costNanoUsd: parsed(headerNames.costBudget, parseCostBudget),
    minQuality: parsed(headerNames.minQuality, parseMinQuality),
    slaClass: parsed(headerNames.slaClass, (text) => text.trim()),
  };
}
