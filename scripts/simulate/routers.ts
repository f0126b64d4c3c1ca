/** Ways to route: the production selector, and what it has to be better than. */
import { expectedOf } from '../../gateway/selector/candidate-table.ts';
import type { Rules } from '../../gateway/selector/rules.ts';
import { select } from '../../gateway/selector/select.ts';
import { defaultPolicy } from '../../schema/policy.ts';
import type { Choice, Router, SimulatedLevel, Situation } from './run.ts';

export function routers(
  levels: readonly SimulatedLevel[],
  nodes: readonly string[],
): Readonly<Record<string, Router>> {
  const dense = Math.max(...levels.map(({ level }) => level));
  const middle = Math.floor(dense / 2);
  const turn = ({ index, failed }: Situation) => nodes[(index + failed.size) % nodes.length] as string;
  return {
    ours,
    'round-robin, dense': (situation) => ({ level: dense, node: turn(situation) }),
    'static middle level': (situation) => ({ level: middle, node: leastLoaded(situation, nodes) }),
    'greedy cheapest': (situation) => ({ level: 0, node: leastLoaded(situation, nodes) }),
    'oracle of the moment': (situation) => bestInTime(situation, levels, nodes),
  };
}

const rules: Omit<Rules, 'budgetMs'> = {
  slaClass: null,
  tier: null,
  minBudgetMs: 0,
  costBudgetNanoUsd: null,
  quantile: defaultPolicy.quantile,
  reserveMs: 0.5,
  minSparsity: 0,
  maxSparsity: 1,
  minQuality: 0,
  objective: { kind: 'quality-first' },
  infeasible: 'serve-sparsest',
  shedAbove: Number.POSITIVE_INFINITY,
  overload: 'refuse',
  hedgeShare: 0,
};

function ours({ all, spec, arrival, leftMs, nowMs, failed, random }: Situation): Choice | undefined {
  const table = all.table(spec, failed, nowMs + leftMs);
  const decision = select(table, {
    rules: { ...rules, budgetMs: arrival.budgetMs },
    budgetLeftMs: leftMs,
    pressure: all.pressure(),
    caution: all.caution(),
    bytes: arrival.bytes,
    draws: [random(), random()],
  });
  if (decision.kind !== 'serve') return undefined;
  const { level, node, predicted } = decision.chosen;
  return { level, node, foreseen: { fits: decision.fits, predicted, ...expectedOf(table, { node, level }) } };
}

/** By requests under way, among those not known to be down. */
function leastLoaded({ all, failed }: Situation, nodes: readonly string[]): string {
  const views = all.view().filter(({ usable, name }) => usable && !failed.has(name));
  const [first] = views.toSorted((a, b) => a.inFlightHere - b.inFlightHere || (a.name < b.name ? -1 : 1));
  return first?.name ?? (nodes[0] as string);
}

/** Knows how long each execution will take and which node is up; only the future it does not know. */
function bestInTime(
  { doneAtMs, arrival }: Situation,
  levels: readonly SimulatedLevel[],
  nodes: readonly string[],
): Choice | undefined {
  const endMs = arrival.atMs + arrival.budgetMs;
  const inTime = levels
    .flatMap(({ level }) => nodes.map((node) => ({ level, node })))
    .filter((choice) => doneAtMs(choice) <= endMs);
  const [best] = inTime.toSorted((a, b) => b.level - a.level || doneAtMs(a) - doneAtMs(b));
  return best;
}
