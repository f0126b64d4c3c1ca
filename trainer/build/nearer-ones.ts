/** Levels that recovery leaves farther from the dense model than compensation did go back to that: too large steps, or few examples. */
import type { PreparedModel } from '../pairs/pair.ts';
import { ownOf, type Places, withOwn } from '../recovery/own-tensors.ts';
import { computeThreads } from '../runtime/compute.ts';
import type { BeginRequest } from './begin-own.ts';
import { buildLevels, holdoutLoss, type LevelModel } from './level-stage.ts';

/**
 * @param ordered the model in path order
 * @param places by level, of what it owns
 * @param begin by level, how far it was before it was trained; undefined where that is not known, or nothing was trained
 * @param recovered by level
 * @returns the same levels, or as compensation makes them, whichever are nearer on held-out examples
 */
export async function nearerOnes(
  { calibrated, order, plan, progress, signal }: BeginRequest,
  ordered: PreparedModel,
  places: readonly Places[],
  begin: readonly (number | undefined)[],
  recovered: readonly LevelModel[],
): Promise<LevelModel[]> {
  const { pool, holdoutTeacher } = calibrated;
  const levels = [...recovered];
  for (const [level, { cut, keep }] of recovered.entries()) {
    const before = begin[level];
    if (before === undefined) continue;
    const after = await holdoutLoss(cut, pool, holdoutTeacher, computeThreads());
    if (after <= before) continue;
    const row = plan.widths[level] ?? [];
    // Made anew, which is seldom: to keep what each level was would take its memory for the whole run.
    const [again] = await buildLevels(calibrated, order, [row], { compensate: true }, progress, signal);
    if (again === undefined) continue;
    const at = places[level] as Places;
    levels[level] = { cut: withOwn(cut, ownOf(ordered.graph, again.cut, at), at), keep, refitted: true };
    progress.note(
      `level ${level} is as compensation leaves it: recovery took it from ${before.toPrecision(3)} to ${after.toPrecision(3)} from the dense model on held-out examples; more of them, or a smaller --recover-rate, may help`,
    );
  }
  return levels;
}
