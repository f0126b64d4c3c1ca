/** Which tensors each level owns, and where these lie in it. */
import type { PreparedModel } from '../pairs/pair.ts';
import { type Places, placesAt } from '../recovery/own-tensors.ts';
import type { RecoveryPlan } from '../recovery/plan.ts';
import { answerGraph } from './answer.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import { ownTensors } from './level-stage.ts';
import { trained } from './recover-stage.ts';

/** What each level owns, and where that lies in it. */
export function ownership(
  ordered: PreparedModel,
  pool: CalibratedModel['pool'],
  plan: Pick<RecoveryPlan, 'train' | 'draw' | 'widths'>,
): { readonly names: readonly string[][]; readonly places: readonly Places[] } {
  const names = namesByLevel(ordered, pool, plan);
  return { names, places: plan.widths.map((row, level) => placesAt(ordered, names[level] as string[], row)) };
}

/** All that is trained for the levels of every step, else what `ownNames` says. */
export function namesByLevel(
  model: PreparedModel,
  pool: CalibratedModel['pool'],
  { train, widths, draw }: Pick<RecoveryPlan, 'train' | 'draw'> & { readonly widths: readonly unknown[] },
): string[][] {
  const some = ownNames(model, pool, train);
  const all = [...new Set([...trained(model, train), ...some])];
  return widths.map((_, level) => (level < draw.always ? all : some));
}

/**
 * What levels own: what compensation refits, and unless only pairs are trained all vectors that training changes: biases and scales are
 * small, and say much of what a level's features are like. Those alone where only they are trained.
 */
function ownNames(
  model: PreparedModel,
  pool: CalibratedModel['pool'],
  train: RecoveryPlan['train'],
): string[] {
  // Others lead to outputs that the path does not keep.
  const { initializers } = answerGraph(model.graph, pool.task);
  const vectors = trained(model, 'vectors').filter((name) => initializers.has(name));
  if (train === 'vectors') return vectors;
  const refitted = ownTensors(model, pool);
  if (train === 'pairs') return refitted;
  return [...new Set([...refitted, ...vectors])];
}
