import { candidateTable } from './candidate-table.ts';
import { free, type LevelOption, type NodeOption, type Price, type PriceOf } from './candidates.ts';
import { explain } from './explain.ts';
import type { Rules } from './rules.ts';
import { type Decision, select } from './select.ts';
import type { SelectionRequest } from './selection-request.ts';
export const open: Rules = {
  slaClass: null,
  tier: null,
  budgetMs: 100,
  minBudgetMs: 0,
  costBudgetNanoUsd: null,
  quantile: 0.95,
  reserveMs: 0,
  minSparsity: 0,
  maxSparsity: 1,
  minQuality: 0,
  objective: { kind: 'quality-first' },
  infeasible: 'refuse',
  shedAbove: Number.POSITIVE_INFINITY,
  overload: 'refuse',
  hedgeShare: 0,
};

/** Level k takes 2(k+1) ms at p95 and has quality 0.9 + k/100. */
export const levels: LevelOption[] = [0, 1, 2, 3].map((level) => ({
  level,
  quality: 0.9 + level / 100,
  sparsity: 0.75 - level / 4,
  flops: 100 * (level + 1),
}));

export function node(name: string, over: Partial<NodeOption> = {}): NodeOption {
  return {
    name,
    nodeClass: 'default',
    network: [{ bytes: 0, p50Ms: 0.5, p95Ms: 1, p99Ms: 2 }],
    workers: 2,
    load: 0,
    serviceMs: 4,
    times: new Map(
      levels.map(({ level }) => [level, [{ batch: 1, p50Ms: level + 1, p95Ms: 2 * (level + 1), p99Ms: 20 }]]),
    ),
    ...over,
  };
}

/** What a table of candidates is made of. */
interface Parts {
  readonly levels?: readonly LevelOption[] | undefined;
  readonly nodes?: readonly NodeOption[] | undefined;
  readonly priceOf?: PriceOf | undefined;
  readonly batch?: number | undefined;
  readonly hopBytes?: number | undefined;
}

export interface Scene extends Parts, Partial<Omit<SelectionRequest, 'rules'>> {
  readonly rules?: Partial<Rules>;
}

/** All levels at all nodes. */
export function tableOf(
  { quantile }: Rules,
  { levels: rows = levels, nodes = [node('a')], priceOf = free, batch = 1, hopBytes = 1000 }: Parts,
) {
  return candidateTable({ levels: rows, nodes, quantile, batch, hopBytes, priceOf });
}

export function decide({ rules: over = {}, levels: rows, nodes, priceOf, batch, hopBytes, ...rest }: Scene) {
  const rules = { ...open, ...over };
  const table = tableOf(rules, { levels: rows, nodes, priceOf, batch, hopBytes });
  const request: SelectionRequest = { rules, budgetLeftMs: rules.budgetMs, bytes: 1000, ...rest };
  const decision = select(table, request);
  return {
    decision,
    drops: explain(table, request, decision.kind === 'serve' ? decision.chosen : undefined),
  };
}

export function served(scene: Scene): Extract<Decision, { kind: 'serve' }> {
  const { decision } = decide(scene);
  if (decision.kind !== 'serve') throw new Error(`${decision.kind}: ${JSON.stringify(decision)}`);
  return decision;
}

export const priced =
  (perLevel: (level: number, nodeClass: string) => Partial<Price>): PriceOf =>
  (nodeClass, level) => ({
    fixedNanoUsd: 0,
    perMsNanoUsd: 0,
    perKiBNanoUsd: 0,
    ...perLevel(level, nodeClass),
  });
