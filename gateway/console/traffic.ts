/** What became of requests lately, by the sample of decisions that the gateway keeps. Pure. */

import { percent, short } from '../../schema/page/numbers.ts';
import type { Table } from '../../schema/page/table.ts';
import type { Decision } from './api.ts';

/** A span of time. Counts are of requests that the sample stands for. */
export interface Slot {
  readonly startMs: number;
  /** Served, by level. */
  readonly levels: ReadonlyMap<number, number>;
  readonly refused: number;
  /** Of all of them, those that were served within their budget. */
  readonly inTime: number;
}

const SLOTS = 30;

/** @returns of each model, the span of its decisions in equal parts, the earliest first */
export function trafficOf(decisions: readonly Decision[], slots = SLOTS): Map<string, Slot[]> {
  return new Map(
    [...Map.groupBy(decisions, ({ model }) => model)]
      .toSorted(([a], [b]) => a.localeCompare(b))
      .map(([model, its]) => [model, slotsOf(its, slots)]),
  );
}

function slotsOf(decisions: readonly Decision[], slots: number): Slot[] {
  const times = decisions.map(({ atMs }) => atMs);
  const from = Math.min(...times);
  const width = Math.max(1, Math.ceil((Math.max(...times) - from + 1) / slots));
  const grouped = Map.groupBy(decisions, ({ atMs }) => Math.floor((atMs - from) / width));
  return Array.from({ length: slots }, (_, place) => slotOf(from + place * width, grouped.get(place) ?? []));
}

function slotOf(startMs: number, decisions: readonly Decision[]): Slot {
  const levels = new Map<number, number>();
  let [refused, inTime] = [0, 0];
  for (const { weight, record } of decisions) {
    const { status, level, totalMs } = record.outcome;
    if (status !== 200 || level === null) refused += weight;
    else {
      levels.set(level, (levels.get(level) ?? 0) + weight);
      if (totalMs <= record.rules.budgetMs) inTime += weight;
    }
  }
  return { startMs, levels, refused, inTime };
}

export function requestsOf({ levels, refused }: Slot): number {
  return [...levels.values()].reduce((sum, count) => sum + count, refused);
}

/** By model: requests, share in time, share refused, mean cost, share of each level. */
export function trafficTable(decisions: readonly Decision[]): Table {
  const models = [...trafficOf(decisions, 1)];
  const levels = [...new Set(models.flatMap(([, [slot]]) => [...(slot?.levels.keys() ?? [])]))].toSorted(
    (a, b) => a - b,
  );
  return {
    header: [
      'model',
      'requests',
      'in time',
      'refused',
      'mean cost, USD',
      ...levels.map((level) => `level ${level}`),
    ],
    rows: models.flatMap(([model, [slot]]) => {
      if (slot === undefined) return [];
      const requests = requestsOf(slot);
      const share = (part: number) => percent(requests === 0 ? 0 : part / requests);
      return [
        [
          model,
          String(Math.round(requests)),
          share(slot.inTime),
          share(slot.refused),
          meanCost(decisions.filter((each) => each.model === model)),
          ...levels.map((level) => share(slot.levels.get(level) ?? 0)),
        ],
      ];
    }),
  };
}

function meanCost(decisions: readonly Decision[]): string {
  const weights = decisions.reduce((sum, { weight }) => sum + weight, 0);
  const nanoUsd = decisions.reduce((sum, { weight, record }) => sum + weight * record.outcome.costNanoUsd, 0);
  return short(weights === 0 ? 0 : nanoUsd / weights / 1e9);
}
