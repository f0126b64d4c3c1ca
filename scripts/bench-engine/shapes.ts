/** Models to time: files of this checkout or beside it, and random ones of any size. */
import { readOnnxFile } from '../../trainer/graph/onnx-load.ts';
import { preparePairs, type TracedModel } from '../../trainer/pairs/prepare.ts';
import { randomVit, type VitShape } from './random-vit-graph.ts';

const SHARED = '../shared/models';

export interface BenchModel {
  readonly batch: number;
  /** Of free dimensions other than the batch. */
  readonly length: number;
  /** A file, or a shape to be filled with random weights. */
  readonly from: string | VitShape;
}

/** What `bench:engine` times, with PyTorch beside it. */
export const fileModels: Readonly<Record<string, BenchModel>> = {
  digits: { from: 'examples/digits/digits.onnx', batch: 64, length: 1 },
  'cifar-vit': { from: `${SHARED}/cifar-vit.onnx`, batch: 64, length: 1 },
  'shakespeare-llama': { from: `${SHARED}/shakespeare-llama.onnx`, batch: 16, length: 128 },
};

const deit = (width: number, depth = 12): VitShape => {
  return { width, heads: width / 64, depth, side: 14, classes: 1000 };
};

/** Sizes of DeiT: 197 tokens. */
export const deitModels: Readonly<Record<string, BenchModel>> = {
  'deit-tiny': { from: deit(192), batch: 32, length: 1 },
  'deit-small': { from: deit(384), batch: 32, length: 1 },
  'deit-base': { from: deit(768), batch: 32, length: 1 },
};

export function loadBenchModel(name: string, { from }: BenchModel): Promise<TracedModel> {
  return preparePairs(typeof from === 'string' ? readOnnxFile(from) : randomVit(from), name);
}
