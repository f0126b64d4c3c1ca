/** What a decision was made from, as plain JSON: enough to make it again under another policy. */
import type { BatchTimes, LevelOption, NodeOption } from '../selector/candidates.ts';
import type { NetworkTimes } from '../selector/network-times.ts';
import type { TimeQuantiles } from '../selector/quantiles.ts';

export interface DecisionInput {
  readonly asked: {
    readonly latencyMs: number | null;
    readonly costNanoUsd: number | null;
    readonly minQuality: number | null;
    readonly slaClass: string | null;
  };
  readonly key: { readonly id: string; readonly classes: readonly string[] | null } | null;
  readonly pinnedLevel: number | null;
  readonly batch: number;
  readonly bytes: number;
  /** Of the budget, before the choice was made; none in rows from before it was kept. */
  readonly spentMs?: number;
  /** That the answer was expected to have; none in rows from before it was kept. */
  readonly answerBytes?: number;
  /** Work in the fleet, in requests for each worker. */
  readonly pressure: number;
  /** How many times the usual room runs had to leave; 1 in rows from before it was kept. */
  readonly caution?: number;
  readonly levels: readonly LevelOption[];
  readonly nodes: readonly StoredNode[];
}

/** A node with its times as a list, which JSON has. */
export interface StoredNode extends Omit<NodeOption, 'times' | 'network'> {
  /** In rows from before it was learned by size, the same for all. */
  readonly network: NetworkTimes | TimeQuantiles;
  readonly times: readonly (readonly [level: number, times: readonly BatchTimes[]])[];
}

/** More nodes would make rows that nobody can keep many of; which ones are kept does not depend on how good they are. */
const NODES_KEPT = 16;

/** @param chosen kept in any case */
export function storedNodes(
  nodes: readonly NodeOption[],
  batch: number,
  chosen: readonly string[],
): StoredNode[] {
  const kept = [
    ...nodes.filter(({ name }) => chosen.includes(name)),
    ...nodes.filter(({ name }) => !chosen.includes(name)),
  ].slice(0, NODES_KEPT);
  return kept.map(({ times, ...node }) => ({
    ...node,
    times: [...times].map(([level, entries]) => [level, around(entries, batch)] as const),
  }));
}

export function nodeOptions(nodes: readonly StoredNode[]): NodeOption[] {
  return nodes.map(({ times, network, ...node }) => ({
    ...node,
    network: 'p50Ms' in network ? [{ bytes: 0, ...network }] : network,
    times: new Map(times),
  }));
}

/** The measured batch sizes on both sides of the one asked: all that a prediction looks at. */
function around(entries: readonly BatchTimes[], batch: number): BatchTimes[] {
  const sorted = entries.toSorted((a, b) => a.batch - b.batch);
  const below = sorted.findLast((entry) => entry.batch <= batch);
  const above = sorted.find((entry) => entry.batch >= batch);
  return [...new Set([below, above].filter((entry) => entry !== undefined))];
}
