/** Why the others were not taken. Not on the way of a request: for whoever asks for the reasons of a decision. */
import type { CandidateTable } from './candidate-table.ts';
import { allows } from './cells.ts';
import { stretchOf } from './scan.ts';
import { type Candidate, candidateAt } from './select.ts';
import type { SelectionRequest } from './selection-request.ts';

/** Why a level, a node, or the one on the other was not taken. */
export interface Drop {
  readonly level?: number;
  readonly node?: string;
  readonly reason: string;
  readonly predictedMs?: number;
  readonly costNanoUsd?: number;
}

/**
 * @param table as it was when the decision was made
 * @param chosen what it was
 */
export function explain(
  table: CandidateTable,
  request: SelectionRequest,
  chosen: Candidate | undefined,
): Drop[] {
  const drops: Drop[] = table.nodes.flatMap((node, column) =>
    table.usable[column] === 1 ? [] : [{ node, reason: table.unusable[column] ?? 'may not be used' }],
  );
  table.levels.forEach(({ level }, row) => {
    if (!allows(table, row, request)) {
      drops.push({ level, reason: outOfBounds(table, row, request) });
      return;
    }
    table.nodes.forEach((node, column) => {
      if (table.usable[column] === 0 || (chosen?.level === level && chosen.node === node)) return;
      const cell = row * table.nodes.length + column;
      if (Number.isNaN(table.executeMs[cell])) {
        drops.push({ level, node, reason: 'not served there' });
        return;
      }
      const candidate = candidateAt(table, cell, request.bytes);
      drops.push({
        level,
        node,
        reason: notTaken(candidate, request, stretchOf(request)),
        predictedMs: candidate.predicted.totalMs,
        costNanoUsd: candidate.costNanoUsd,
      });
    });
  });
  return drops;
}

function notTaken(
  { predicted, costNanoUsd }: Candidate,
  { rules, ...request }: SelectionRequest,
  stretch: number,
): string {
  const leftMs = request.budgetLeftMs - rules.reserveMs;
  if (predicted.totalMs > leftMs) return 'over the latency budget';
  if (request.costBudgetNanoUsd !== undefined && costNanoUsd > request.costBudgetNanoUsd)
    return 'over the cost budget';
  if (predicted.totalMs + (stretch - 1) * predicted.executeMs > leftMs)
    return 'fits, but leaves too little room in a busy fleet';
  return 'fits, but another is better';
}

function outOfBounds(
  { levels }: CandidateTable,
  row: number,
  { rules, minQuality, pinnedLevel }: SelectionRequest,
): string {
  const { level, sparsity, quality } = levels[row] as CandidateTable['levels'][number];
  if (pinnedLevel !== undefined && level !== pinnedLevel) return 'another level was asked for';
  if (sparsity < rules.minSparsity) return `less sparse than ${rules.tier} allows`;
  if (sparsity > rules.maxSparsity) return `sparser than ${rules.tier} allows`;
  if (minQuality !== undefined && quality < minQuality) return 'below the quality asked for';
  return 'not allowed';
}
