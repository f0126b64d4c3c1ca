/** What tests of recovery work on: the digits model, calibrated on a few examples, and an order of its units. */
import { readFile } from 'node:fs/promises';
import { openDataset } from '../data/open-dataset.ts';
import { prepareModel } from '../pairs/prepare.ts';
import { type CalibratedModel, calibrate } from './calibrate-model.ts';
import { buildOptionsSchema } from './options.ts';
import { silentProgress } from './progress.ts';

export const digitsOptions = buildOptionsSchema.parse({
  id: 'digits',
  backend: 'onnxruntime',
  workers: 1,
  batch: 16,
  calibration: 256,
});

export interface OrderedDigits {
  readonly calibrated: CalibratedModel;
  /** By pair; backwards within the MLPs, so that path order is not the order in the file. */
  readonly order: number[][];
}

export async function orderedDigits(): Promise<OrderedDigits> {
  const file = new URL('../../examples/digits/digits.onnx', import.meta.url);
  const prepared = await prepareModel(await readFile(file), 'digits');
  const calibrated = await calibrate(prepared, await openDataset('mnist'), digitsOptions, silentProgress);
  const order = prepared.pairs.map(({ units, kind }) => {
    const inPlace = Array.from({ length: units }, (_, unit) => unit);
    return kind === 'sequential' ? inPlace.toReversed() : inPlace;
  });
  return { calibrated, order };
}
