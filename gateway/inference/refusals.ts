/** Decisions not to serve, as the problems that a client is told. */
import { SppError } from '../../schema/errors.ts';
import { formatMs, formatNanoUsd } from '../../schema/headers.ts';
import type { Rules } from '../selector/rules.ts';
import type { Decision } from '../selector/select.ts';
import { overrun } from './deadline.ts';

/**
 * @param budgetLeftMs of the budget, when the choice was made: a body may have been long in coming
 * @returns `budget-infeasible`, `cost-infeasible`, `budget-overrun` or `no-node`: nothing was sent
 */
export function refusal(
  decision: Exclude<Decision, { kind: 'serve' }>,
  rules: Rules,
  budgetLeftMs: number,
): SppError {
  if (decision.kind === 'no-node') return noNode();
  const { nearest, by } = decision;
  const { budgetMs, minBudgetMs, costBudgetNanoUsd, slaClass, tier, minSparsity, maxSparsity, minQuality } =
    rules;
  const predictedMs = nearest === undefined ? null : Number(nearest.predicted.totalMs.toFixed(3));
  const leftMs = Math.max(0, budgetLeftMs);
  // Its time is up, and only the timer has not said so yet. What never was enough is told so, however a clock ticks.
  if (by === 'latency' && leftMs === 0 && predictedMs !== null && predictedMs <= budgetMs) return overrun();
  const told = {
    class: [
      `The class takes latency budgets from ${minBudgetMs} ms; ${budgetMs} ms is less.`,
      'Ask with a larger X-Latency-Budget, or another X-SLA-Class.',
    ],
    bounds: [
      'No level lies within the bounds of this request.',
      'Ask for less quality, another level or another latency budget; GET /v2/models/{model} lists the levels.',
    ],
    cost: [
      `No level fits a cost budget of ${formatNanoUsd(costBudgetNanoUsd ?? 0)} USD: the cheapest one allowed costs ${formatNanoUsd(nearest?.costNanoUsd ?? 0)}.`,
      'Ask with a larger X-Cost-Budget.',
    ],
    latency: [
      `No level fits a latency budget of ${budgetMs} ms, of which ${formatMs(leftMs)} ms are left: the sparsest one allowed takes ${predictedMs} ms.`,
      'Ask with a larger X-Latency-Budget; GET /v2/models/{model} lists what each level takes now.',
    ],
  } as const satisfies Record<typeof by, readonly [string, string]>;
  const [message, hint] = told[by];
  return new SppError(by === 'cost' ? 'cost-infeasible' : 'budget-infeasible', message, {
    hint,
    details: {
      latencyBudgetMs: budgetMs,
      budgetLeftMs: Number(formatMs(leftMs)),
      predictedMs,
      level: nearest?.level ?? null,
      bounds: {
        class: slaClass,
        tier,
        minSparsity,
        maxSparsity,
        minQuality: minQuality > 0 ? minQuality : null,
      },
      ...(by === 'cost' ? { costBudgetNanoUsd, costNanoUsd: nearest?.costNanoUsd ?? null } : {}),
    },
  });
}

/** @param pressure work in the fleet, in requests for each worker */
export function overloaded(pressure: number, { slaClass, shedAbove }: Rules): SppError {
  return new SppError('overloaded', 'The fleet is busy, and requests of this class give way to others.', {
    hint: 'Try again in a moment, or ask in a class that goes before.',
    retryAfterS: 1,
    details: { class: slaClass, pressure: Number(pressure.toFixed(2)), shedAbove },
  });
}

/** Which nodes and why is for operators, who have GET /v1/nodes. */
export function noNode(): SppError {
  return new SppError('no-node', 'No inference node can take the request at the moment.', {
    hint: 'Try again in a moment.',
    retryAfterS: 1,
  });
}
