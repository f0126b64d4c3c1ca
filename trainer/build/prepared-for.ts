/** A model file as a build on some data works on it. */
import { basename } from 'node:path';
import { bindDataset } from '../data/bind-dataset.ts';
import type { Dataset } from '../data/dataset.ts';
import { readOnnxFile } from '../graph/onnx-load.ts';
import { checkEqualOn } from '../graph/prepare.ts';
import { countedFor, preparePairs, type TracedModel } from '../pairs/prepare.ts';
import { runOfTexts } from './run-of-texts.ts';

/**
 * @returns the model with its pairs, FLOPs counted for one example of the data
 * @throws `bad-data` where the data does not fit the model's inputs, `bad-model` where what was prepared does not answer it as the file
 * does; as `preparePairs` does
 */
export async function preparedFor(modelPath: string, dataset: Dataset): Promise<TracedModel> {
  const source = basename(modelPath);
  const original = readOnnxFile(modelPath);
  const prepared = await preparePairs(original, source);
  const { train, length } = bindDataset(dataset, prepared.graph.inputs);
  if (train.count === 0) return prepared;
  const feeds = await train.feeds([0]);
  await checkEqualOn(feeds, original, prepared.graph, { source, first: (run) => runOfTexts(length, run) });
  return countedFor(prepared, feeds);
}
