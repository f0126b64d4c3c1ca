/** What the gateway itself needs of an inference request; tensors are the node's to check. */
import { SppError } from '../../schema/errors.ts';
import { headerNames, parseCostBudget, parseLatencyBudget, parseMinQuality } from '../../schema/headers.ts';
import { inferRequestSchema } from '../../schema/protocol.ts';
import { parseJson } from '../http/read-body.ts';

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

/**
 * @returns how many inputs the request carries: the leading dimension of its first tensor
 * @throws `bad-json`, or `bad-request` naming what is missing
 */
export function readBatchSize(bytes: Uint8Array): number {
  const parsed = inferRequestSchema.safeParse(parseJson(bytes));
  if (!parsed.success) {
    const faults = parsed.error.issues
      .slice(0, 3)
      .map(({ path, message }) => `${path.join('.')}: ${message}`);
    throw new SppError(
      'bad-request',
      `The body is not an inference request. ${faults.join('; ').slice(0, 500)}.`,
      {
        hint: 'Send { "inputs": [ { "name", "shape", "datatype", "data" } ] }; GET /v2/models/{model} names the inputs.',
      },
    );
  }
  return Math.max(1, parsed.data.inputs[0]?.shape[0] ?? 1);
}
