/** Which class a request is in, and what the policy then says to it. Pure. */
import type { ApiKeyRow } from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import { type Policy, type PolicyRules, rulesFor } from '../../schema/policy.ts';
import { type Rules, rulesOf } from '../selector/rules.ts';
import { memo } from '../state/memo.ts';

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
  const worked = workedOut(policy);
  const override = key === undefined ? undefined : worked.overrides.get(key.id);
  const usual = override?.defaultClass ?? policy.defaultClass;
  const slaClass = classOf(policy, usual, asked.slaClass, key);
  const { rules, byBudget } = worked.ofClass(slaClass)(override?.key);
  const { latencyMs, costNanoUsd, minQuality } = asked;
  if (costNanoUsd === undefined && minQuality === undefined) return byBudget(latencyMs);
  if (rules === undefined) throw notAllowed(String(slaClass));
  const ask = { latencyBudgetMs: latencyMs, costBudgetNanoUsd: costNanoUsd, minQuality };
  return rulesOf(rules, ask, slaClass);
}

/**
 * The class of a key's requests that name none.
 * @param allowed classes that the key may use; null for all
 * @returns undefined where it may use none that there is: its requests are refused
 */
export function usualClass(
  policy: Policy,
  key: string,
  allowed: readonly string[] | null,
): string | null | undefined {
  const override = policy.overrides.find((entry) => entry.key === key);
  return allowedClass(policy, override?.defaultClass ?? policy.defaultClass, allowed);
}

function allowedClass(
  { classes }: Policy,
  usual: string | null,
  allowed: readonly string[] | null,
): string | null | undefined {
  if (allowed === null || (usual !== null && allowed.includes(usual))) return usual;
  return allowed.find((name) => classes.some((slaClass) => slaClass.name === name));
}

function classOf(
  policy: Policy,
  usual: string | null,
  named: string | undefined,
  key: Pick<ApiKeyRow, 'id' | 'classes'> | undefined,
): string | null {
  const allowed = key?.classes ?? null;
  if (named !== undefined) {
    if (allowed !== null && !allowed.includes(named)) throw notAllowed(named);
    return named;
  }
  const found = allowedClass(policy, usual, allowed);
  if (found === undefined) throw notAllowed(allowed?.join(', ') ?? '');
  return found;
}

function notAllowed(name: string): SppError {
  return new SppError('forbidden', `This key may not use the class ${JSON.stringify(name.slice(0, 64))}.`, {
    hint: 'Leave X-SLA-Class out, or ask the operator which classes the key has.',
  });
}

interface ClassRules {
  /** Undefined for a class that the document does not have. */
  readonly rules: PolicyRules | undefined;
  /** For a request that asks for nothing but, at most, a latency budget. */
  readonly byBudget: (latencyMs: number | undefined) => Rules;
}

/** What a request is granted whatever its class and budget: where some are refused, nothing beyond their budget. */
export function leastGrantMs(policy: Policy): number {
  return workedOut(policy).leastGrantMs;
}

/** The most that a request has which leaves its budget to the policy, whatever its class and key. */
export function largestDefaultMs(policy: Policy): number {
  return workedOut(policy).largestDefaultMs;
}

/** What of a document is the same from request to request, worked out once for each copy of it. */
interface WorkedOut {
  readonly leastGrantMs: number;
  readonly largestDefaultMs: number;
  readonly overrides: ReadonlyMap<string, Policy['overrides'][number]>;
  /** @returns by the key of an override, undefined for none */
  readonly ofClass: (slaClass: string | null) => (key: string | undefined) => ClassRules;
}

/** Clients ask for few different budgets, and name few classes, but could name any. */
const KEPT = 256;
const workedOutOf = new WeakMap<Policy, WorkedOut>();

function workedOut(policy: Policy): WorkedOut {
  const known = workedOutOf.get(policy);
  if (known !== undefined) return known;
  const sets = [policy, ...policy.classes, ...policy.overrides];
  const made: WorkedOut = {
    leastGrantMs: sets.some(({ infeasible }) => infeasible === 'refuse') ? 0 : policy.defaultLatencyBudgetMs,
    largestDefaultMs: Math.max(...sets.flatMap(({ defaultLatencyBudgetMs: ms }) => ms ?? [])),
    overrides: new Map(policy.overrides.map((override) => [override.key, override])),
    ofClass: memo(KEPT, (slaClass) =>
      memo(KEPT, (key) => classRules(rulesFor(policy, slaClass, key), slaClass)),
    ),
  };
  workedOutOf.set(policy, made);
  return made;
}

function classRules(rules: PolicyRules | undefined, slaClass: string | null): ClassRules {
  return {
    rules,
    byBudget: memo(KEPT, (latencyMs) => {
      if (rules === undefined) throw notAllowed(String(slaClass));
      return rulesOf(rules, { latencyBudgetMs: latencyMs }, slaClass);
    }),
  };
}
