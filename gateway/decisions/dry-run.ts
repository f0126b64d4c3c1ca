/** What a policy would have done with recorded requests, beside what the one in force would have done. Pure. */
import type { DecisionInput } from './decision-input.ts';
import { type Replayed, type ReplayPolicy, replay } from './replay.ts';

export interface RecordedDecision {
  readonly requestId: string;
  readonly model: string;
  readonly atMs: number;
  /** How many decisions this one stands for. */
  readonly weight: number;
  readonly input: DecisionInput;
}

export interface Summary {
  /** Share of requests, by model and level. */
  readonly levels: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly served: number;
  /** Share of requests, by the reason. */
  readonly refused: Readonly<Record<string, number>>;
  /** Predicted share of all requests that are answered within their budget. */
  readonly attainment: number;
  /** Of those that are served; null when none is. */
  readonly meanQuality: number | null;
  readonly meanCostNanoUsd: number | null;
  readonly totalCostNanoUsd: number;
}

export interface ChangedRequest {
  readonly requestId: string;
  readonly atMs: number;
  readonly model: string;
  readonly weight: number;
  readonly before: Replayed;
  readonly after: Replayed;
}

export interface DryRun {
  /** Recorded decisions that were replayed, and how many requests they stand for. */
  readonly decisions: number;
  readonly requests: number;
  readonly before: Summary;
  readonly after: Summary;
  /** Share of requests that get another level, cost or outcome. */
  readonly changedShare: number;
  /** The weightiest of them. */
  readonly changed: readonly ChangedRequest[];
}

const CHANGED_SHOWN = 100;

/** Both outcomes of each decision, without what it was made from: that is a hundred times as large, and is needed no more. */
export function replayedUnder(
  before: ReplayPolicy,
  after: ReplayPolicy,
  recorded: readonly RecordedDecision[],
): ChangedRequest[] {
  return recorded.map(({ requestId, model, atMs, weight, input }) => ({
    requestId,
    atMs,
    model,
    weight,
    before: replay(before, model, requestId, input),
    after: replay(after, model, requestId, input),
  }));
}

export function dryRun(pairs: readonly ChangedRequest[]): DryRun {
  const requests = pairs.reduce((sum, { weight }) => sum + weight, 0);
  const changed = pairs.filter((pair) => isOther(pair.before, pair.after));
  return {
    decisions: pairs.length,
    // A sum of shares of a whole number, or an estimate of one.
    requests: Math.round(requests),
    before: summary(pairs.map((pair) => ({ ...pair, replayed: pair.before }))),
    after: summary(pairs.map((pair) => ({ ...pair, replayed: pair.after }))),
    changedShare: share(
      changed.reduce((sum, { weight }) => sum + weight, 0),
      requests,
    ),
    changed: changed.toSorted((a, b) => b.weight - a.weight || a.atMs - b.atMs).slice(0, CHANGED_SHOWN),
  };
}

function isOther(a: Replayed, b: Replayed): boolean {
  return a.outcome !== b.outcome || a.level !== b.level || a.costNanoUsd !== b.costNanoUsd;
}

interface Weighted {
  readonly model: string;
  readonly weight: number;
  readonly replayed: Replayed;
}

function summary(all: readonly Weighted[]): Summary {
  const total = sumOf(all, () => 1);
  const served = all.filter(({ replayed }) => replayed.outcome === 'served');
  const servedWeight = sumOf(served, () => 1);
  const cost = sumOf(served, ({ costNanoUsd }) => costNanoUsd);
  const mean = (value: number) => (servedWeight === 0 ? null : value / servedWeight);
  const shares = (entries: readonly Weighted[], keyOf: (entry: Weighted) => string) =>
    Object.fromEntries(
      [...Map.groupBy(entries, keyOf)]
        .map(([key, here]): [string, number] => [
          key,
          share(
            sumOf(here, () => 1),
            total,
          ),
        ])
        .sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true })),
    );
  return {
    levels: Object.fromEntries(
      [...Map.groupBy(served, ({ model }) => model)].map(([model, here]) => [
        model,
        shares(here, ({ replayed }) => String(replayed.level)),
      ]),
    ),
    served: share(servedWeight, total),
    refused: shares(
      all.filter(({ replayed }) => replayed.outcome !== 'served'),
      ({ replayed }) => replayed.outcome,
    ),
    attainment: share(
      sumOf(all, ({ attainment }) => attainment),
      total,
    ),
    meanQuality: mean(sumOf(served, ({ quality }) => quality ?? 0)),
    meanCostNanoUsd: mean(cost),
    totalCostNanoUsd: cost,
  };
}

function sumOf(entries: readonly Weighted[], of: (replayed: Replayed) => number): number {
  return entries.reduce((sum, { weight, replayed }) => sum + weight * of(replayed), 0);
}

function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
