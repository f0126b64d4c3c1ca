/** A recorded decision made again under a policy, by the selector that serves requests. Pure. */
import { SppError } from '../../schema/errors.ts';
import type { Policy } from '../../schema/policy.ts';
import { governing } from '../policy/canary.ts';
import { priceList } from '../policy/prices.ts';
import { rulesForRequest } from '../policy/request-rules.ts';
import { candidateTable, type TableInput } from '../selector/candidate-table.ts';
import type { NodeOption } from '../selector/candidates.ts';
import { decide } from '../selector/decide.ts';
import { wayMs, waysAt } from '../selector/network-times.ts';
import { executeTime } from '../selector/predict.ts';
import type { Rules } from '../selector/rules.ts';
import type { Candidate } from '../selector/select.ts';
import { type DecisionInput, nodeOptions } from './decision-input.ts';

/** A policy to replay under, and the one that governs the rest of the requests where it is a canary. */
export interface ReplayPolicy {
  readonly document: Policy;
  readonly baseline?: Policy | undefined;
}

export interface Replayed {
  /** `served`, or why not: `no-node`, `shed`, `forbidden`, or what `infeasible` was by. */
  readonly outcome: 'served' | 'no-node' | 'shed' | 'forbidden' | 'class' | 'bounds' | 'cost' | 'latency';
  readonly level: number | null;
  readonly node: string | null;
  readonly quality: number | null;
  readonly costNanoUsd: number;
  /** Chance to be answered within the budget that the client asked for, or else the policy's. */
  readonly attainment: number;
}

export function replay(
  { document, baseline }: ReplayPolicy,
  model: string,
  requestId: string,
  input: DecisionInput,
): Replayed {
  const { asked, key, batch, bytes, levels, pressure, caution } = input;
  const spentMs = input.spentMs ?? 0;
  const hopBytes = bytes + (input.answerBytes ?? 0);
  const governed = governing({ document }, baseline && { document: baseline }, requestId).document;
  let rules: Rules;
  try {
    rules = rulesForRequest(
      governed,
      {
        latencyMs: asked.latencyMs ?? undefined,
        costNanoUsd: asked.costNanoUsd ?? undefined,
        minQuality: asked.minQuality ?? undefined,
        slaClass: asked.slaClass ?? undefined,
      },
      key ?? undefined,
    );
  } catch (error) {
    if (error instanceof SppError && error.code === 'forbidden') return refused('forbidden');
    throw error;
  }
  const nodes = nodeOptions(input.nodes);
  const priceOf = priceList(governed.prices, model);
  const table = candidateTable({ levels, nodes, quantile: rules.quantile, batch, hopBytes, priceOf });
  const { decision, shed } = decide(table, {
    rules,
    budgetLeftMs: rules.budgetMs - spentMs,
    costBudgetNanoUsd: rules.costBudgetNanoUsd ?? undefined,
    minQuality: rules.minQuality,
    pinnedLevel: input.pinnedLevel ?? undefined,
    pressure,
    caution,
    bytes,
  });
  if (decision.kind !== 'serve')
    return refused(shed ? 'shed' : decision.kind === 'no-node' ? 'no-node' : decision.by);
  const { chosen } = decision;
  return {
    outcome: 'served',
    level: chosen.level,
    node: chosen.node,
    quality: chosen.quality,
    costNanoUsd: chosen.costNanoUsd,
    attainment: attainmentOf(
      chosen,
      nodes,
      { batch, hopBytes },
      (asked.latencyMs ?? rules.budgetMs) - spentMs,
    ),
  };
}

function refused(outcome: Replayed['outcome']): Replayed {
  return { outcome, level: null, node: null, quality: null, costNanoUsd: 0, attainment: 0 };
}

const STEPS = 20;
/** Beyond this the measured quantiles say nothing. */
const SUREST = 0.999;

/**
 * The largest quantile whose predicted time keeps the budget, which is what the selector's own prediction means by one.
 * Below the median nothing was measured: such a request is taken to be late.
 */
function attainmentOf(
  { level, node, predicted }: Candidate,
  nodes: readonly NodeOption[],
  { batch, hopBytes }: Pick<TableInput, 'batch' | 'hopBytes'>,
  leftMs: number,
): number {
  const option = nodes.find(({ name }) => name === node);
  if (option === undefined) return 0;
  const keeps = (quantile: number) =>
    wayMs(waysAt(option.network, quantile), hopBytes) +
      predicted.queueMs +
      executeTime(option.times.get(level) ?? [], batch, quantile) <=
    leftMs;
  if (keeps(SUREST)) return 1;
  if (!keeps(0.5)) return 0;
  let [low, high] = [0.5, SUREST];
  for (let step = 0; step < STEPS; step++) {
    const middle = (low + high) / 2;
    if (keeps(middle)) low = middle;
    else high = middle;
  }
  return low;
}
