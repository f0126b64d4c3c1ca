/** Which class a request is in, and what the policy then says to it. Pure. */
import type { ApiKeyRow } from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import { defaultClassFor, type Policy, rulesFor } from '../../schema/policy.ts';
import { type Rules, rulesOf } from '../selector/rules.ts';

/** What of a request's headers the policy looks at; undefined where the client leaves it to the policy. */
export interface Asked {
  readonly latencyMs: number | undefined;
  readonly costNanoUsd: number | undefined;
  readonly minQuality: number | undefined;
  readonly slaClass: string | undefined;
}

/**
 * A request that names no class is in its key's default class, else in the policy's; where its key may not use that one,
 * in the first that it may.
 * @throws `forbidden`, the same for a class that is not there and for one that the key may not use
 */
export function rulesForRequest(
  policy: Policy,
  asked: Asked,
  key: Pick<ApiKeyRow, 'id' | 'classes'> | undefined,
): Rules {
  const slaClass = classOf(policy, asked.slaClass, key);
  const rules = rulesFor(policy, slaClass, key?.id);
  if (rules === undefined) throw notAllowed(String(slaClass));
  return rulesOf(
    rules,
    {
      latencyBudgetMs: asked.latencyMs,
      costBudgetNanoUsd: asked.costNanoUsd,
      minQuality: asked.minQuality,
    },
    slaClass,
  );
}

function classOf(
  policy: Policy,
  named: string | undefined,
  key: Pick<ApiKeyRow, 'id' | 'classes'> | undefined,
): string | null {
  const allowed = key?.classes ?? null;
  if (named !== undefined) {
    if (allowed !== null && !allowed.includes(named)) throw notAllowed(named);
    return named;
  }
  const usual = defaultClassFor(policy, key?.id);
  if (allowed === null || (usual !== null && allowed.includes(usual))) return usual;
  const [first] = allowed.filter((name) => policy.classes.some((slaClass) => slaClass.name === name));
  if (first === undefined) throw notAllowed(allowed.join(', '));
  return first;
}

function notAllowed(name: string): SppError {
  return new SppError('forbidden', `This key may not use the class ${JSON.stringify(name.slice(0, 64))}.`, {
    hint: 'Leave X-SLA-Class out, or ask the operator which classes the key has.',
  });
}
