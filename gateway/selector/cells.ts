/** The cells of a table: what each promises and costs, and which rows a request may have. */
import type { CandidateTable } from './candidate-table.ts';
import type { LevelOption } from './candidates.ts';
import type { SelectionRequest } from './selection-request.ts';

/** In the place of a cell, where there is none. */
export const NONE = -1;

export function levelAt({ levels, reachMs }: CandidateTable, cell: number): LevelOption {
  return levels[Math.floor(cell / reachMs.length)] as LevelOption;
}

/** NaN where the node may not be used or does not serve the level. */
export function totalOf({ reachMs, executeMs }: CandidateTable, cell: number): number {
  return (reachMs[cell % reachMs.length] as number) + (executeMs[cell] as number);
}

/** @param kib see `kibOf` */
export function costOf({ costNanoUsd, perKiBNanoUsd }: CandidateTable, cell: number, kib: number): number {
  return (costNanoUsd[cell] as number) + (perKiBNanoUsd[cell] as number) * kib;
}

/** No cell of the row costs less. */
export function leastCostOf(
  { levelLeastNanoUsd, levelLeastPerKiBNanoUsd }: CandidateTable,
  row: number,
  kib: number,
): number {
  return (levelLeastNanoUsd[row] as number) + (levelLeastPerKiBNanoUsd[row] as number) * kib;
}

/** As bodies are paid for. */
export function kibOf({ bytes }: Pick<SelectionRequest, 'bytes'>): number {
  return Math.ceil(bytes / 1024);
}

/** Of the latency budget, for what is predicted. */
export function leftOf({ budgetLeftMs, rules }: SelectionRequest): number {
  return budgetLeftMs - rules.reserveMs;
}

export function sparsityOf({ levels }: CandidateTable, row: number): number {
  return levels[row]?.sparsity ?? Number.NaN;
}

export function costCapOf({ costBudgetNanoUsd = Number.POSITIVE_INFINITY }: SelectionRequest): number {
  return costBudgetNanoUsd;
}

/** Whether a level lies within the bounds of policy and request. */
export function allows(
  table: CandidateTable,
  row: number,
  { rules, minQuality, pinnedLevel }: SelectionRequest,
): boolean {
  const level = table.levels[row];
  return (
    level !== undefined &&
    (pinnedLevel === undefined || level.level === pinnedLevel) &&
    level.sparsity >= rules.minSparsity &&
    level.sparsity <= rules.maxSparsity &&
    (minQuality === undefined || level.quality >= minQuality)
  );
}
