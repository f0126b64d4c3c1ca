/** Which units levels keep: an order of each pair's units, and widths on the grid that was asked for, as this machine likes them. */
import { setImmediate as immediate } from 'node:timers/promises';
import { compensatedOrder } from '../compensation/compensated-order.ts';
import { alignWidths, allocateLevels } from '../search/allocate.ts';
import { indexUnits, orderByPair } from '../search/units.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import type { Checkpoint } from './checkpoint.ts';
import { alignmentOf } from './choose-alignment.ts';
import { levelShares, roundedNotes, withoutRepeats } from './level-shares.ts';
import type { BuildOptions } from './options.ts';
import type { Progress } from './progress.ts';
import { throwIfAborted } from './throw-if-aborted.ts';

interface WidthRequest {
  readonly options: BuildOptions;
  readonly checkpoint: Checkpoint;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

export interface LevelWidths {
  /** By pair, its units, best first. */
  readonly order: readonly (readonly number[])[];
  /** The same as the search orders them. */
  readonly searched: readonly (readonly number[])[];
  /** Kept units by pair, of each level, sparsest first, the last one dense. */
  readonly widths: readonly (readonly number[])[];
  /** Of the dense FLOPs, that the widths were cut to, by level. */
  readonly shares: readonly number[];
  /** What widths are multiples of. */
  readonly multiple: number;
  /** What is to be said of them. */
  readonly notes: readonly string[];
}

/** @param flat all units in the order of the search */
export async function chooseWidths(
  { options, checkpoint, progress, signal }: WidthRequest,
  calibrated: CalibratedModel,
  flat: readonly number[],
): Promise<LevelWidths> {
  const { model } = calibrated;
  const asked = levelShares(model, options);
  const allocated = allocateLevels(model.pairs, flat, model, asked.shares);
  const searched = orderByPair(indexUnits(model.pairs), flat);
  const order = await orderOf(calibrated, searched, options, progress, signal);
  const aligned = await alignmentOf(options, { ...calibrated, order }, allocated, checkpoint, progress);
  const { multiple } = aligned;
  const cut = withoutRepeats(alignWidths(model.pairs, allocated, multiple), asked.shares);
  const notes = [...asked.notes, ...cut.notes, ...roundedNotes(model, cut, multiple)];
  for (const note of notes) progress.note(note);
  return { ...cut, order, searched, multiple, notes: [...notes, ...aligned.notes] };
}

/** By pair: the search's, or where matrices are refitted the one that this leaves. */
async function orderOf(
  { model, moments }: CalibratedModel,
  found: readonly (readonly number[])[],
  { compensate }: BuildOptions,
  progress: Progress,
  signal: AbortSignal | undefined,
): Promise<readonly (readonly number[])[]> {
  if (!compensate) return found;
  const stage = progress.stage('order', found.length);
  const order = await compensatedOrder(model, moments, found, async (done) => {
    stage.update(done);
    await immediate();
    throwIfAborted(signal);
  });
  stage.finish();
  return order;
}
