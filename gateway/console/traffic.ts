/** What became of requests lately, by the sample of decisions that the gateway keeps. Pure. */
import { dateText, percent, short } from '../../schema/page/numbers.ts';
import type { Table } from '../../schema/page/table.ts';
import type { Decision } from './api.ts';

/** A span of time. Counts are of requests that the sample stands for. */
export interface Slot {
  readonly startMs: number;
  readonly endMs: number;
  /** Served, by level. */
  readonly levels: ReadonlyMap<number, number>;
  /** Before anything was sent to a node. */
  readonly refused: number;
  /** Sent, and not answered, or not in time. */
  readonly failed: number;
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
  return Array.from({ length: slots }, (_, place) => {
    const startMs = from + place * width;
    return { startMs, endMs: startMs + width, ...countsOf(grouped.get(place) ?? []) };
  });
}

function countsOf(decisions: readonly Decision[]): Omit<Slot, 'startMs' | 'endMs'> {
  const levels = new Map<number, number>();
  let [refused, failed, inTime] = [0, 0, 0];
  for (const { weight, record } of decisions) {
    const { status, level, totalMs, attempts } = record.outcome;
    if (status === 200 && level !== null) {
      levels.set(level, (levels.get(level) ?? 0) + weight);
      if (totalMs <= record.rules.budgetMs) inTime += weight;
    } else if (attempts.length > 0) failed += weight;
    else refused += weight;
  }
  return { levels, refused, failed, inTime };
}

export function requestsOf({ levels, refused, failed }: Slot): number {
  return [...levels.values()].reduce((sum, count) => sum + count, refused + failed);
}

/** From the earliest to the latest of them, in words; empty of none. */
export function spanText(decisions: readonly Decision[]): string {
  if (decisions.length === 0) return '';
  const times = decisions.map(({ atMs }) => atMs);
  const [from, to] = [Math.min(...times), Math.max(...times)];
  return `${dateText(from)} to ${dateText(to).slice(dayOf(from) === dayOf(to) ? 11 : 0)}`;
}

function dayOf(ms: number): string {
  return dateText(ms).slice(0, 10);
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
      'failed',
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
          share(slot.failed),
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
