/**
 * Images in folders, a folder a class: `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*` of which a tenth drawn by the
 * seed is for testing; images without class folders have no labels.
 */
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { SppError } from '../../schema/errors.ts';
import { randomSource, shuffledRange, streams } from '../search/random.ts';
import { splitBySeed } from './array-dataset.ts';
import { BadRecords } from './bad-records.ts';
import type { DataSettings } from './data-settings.ts';
import type { Dataset, Split } from './dataset.ts';
import { AT_ONCE, decodingOf, ImageStore, reasonOf } from './image-store.ts';
import { unreadable } from './unreadable.ts';

const IMAGE = /\.(jpe?g|png|webp|gif|tiff?|avif|bmp)$/i;

/** Folders that programs leave behind. */
const LEFTOVER = /^(\.|__MACOSX$)/;

interface ImageFile {
  readonly path: string;
  readonly className?: string;
}

/** @throws `bad-data` naming folders or files at fault; `usage` when the size is not known */
export async function openImageFolder(
  folder: string,
  settings: DataSettings,
  name: string,
): Promise<Dataset> {
  const { seed = 0 } = settings;
  const decoding = decodingOf(settings, name);
  const files = await splitFiles(folder, seed);
  const classes = [...new Set(files.train.flatMap(({ className }) => className ?? []))].toSorted();
  const known = ({ className }: ImageFile) =>
    className === undefined ? classes.length === 0 : classes.includes(className);
  const stray = files.test.find((file) => !known(file));
  if (stray !== undefined) {
    throw new SppError(
      'bad-data',
      `${stray.path} is of ${stray.className === undefined ? 'no class' : `class ${stray.className}, which has no training images`}.`,
    );
  }
  const hash = createHash('sha256');
  const bad = new BadRecords();
  const store = new ImageStore(decoding);
  const open = (some: readonly ImageFile[], most = some.length) =>
    decodeAll(some, most, { folder, hash, bad, store });
  const train = await open(files.train, settings.most?.train);
  const test = await open(files.test, settings.most?.test);
  bad.settle(folder, train.read + test.read, settings);
  for (const [split, { images }] of Object.entries({ training: train, test }))
    if (images.length === 0) throw new SppError('bad-data', `${folder} has no ${split} images.`);
  const { size, crop, normalisation } = decoding;
  return {
    name,
    fields: [
      { name: 'image', role: 'image', dtype: 'float32', shape: [size.channels, size.height, size.width] },
    ],
    ...(classes.length === 0 ? {} : { targets: { kind: 'class', names: classes } }),
    train: imageSplit(store, 0, train.images, classes),
    test: imageSplit(store, train.images.length, test.images, classes),
    sha256: hash.digest('hex'),
    recipe: { normalisation, crop, size, seed },
    normalisation,
  };
}

async function splitFiles(folder: string, seed: number): Promise<{ train: ImageFile[]; test: ImageFile[] }> {
  const names = (await list(folder)).map(({ name }) => name);
  if (names.includes('train') && names.includes('test')) {
    const shuffled = async (split: string, step: number) => {
      const files = await imagesIn(join(folder, split), split === 'train');
      const order = shuffledRange(randomSource(seed, streams.split, step), files.length);
      return order.map((place) => files[place] as ImageFile);
    };
    return { train: await shuffled('train', 1), test: await shuffled('test', 2) };
  }
  const files = await imagesIn(folder, true);
  if (files.length === 0) throw new SppError('bad-data', `${folder} has no images.`);
  const { train, test } = splitBySeed(files.length, seed);
  const take = (places: readonly number[]) => places.map((place) => files[place] as ImageFile);
  return { train: take(train), test: take(test) };
}

/**
 * Images of class folders, or those that lie in the folder itself, in the order of their names.
 * @param trains whether the folders say which classes there are
 */
async function imagesIn(folder: string, trains: boolean): Promise<ImageFile[]> {
  const entries = await list(folder);
  const classes = entries
    .filter((entry) => entry.isDirectory() && !LEFTOVER.test(entry.name))
    .map(({ name }) => name);
  if (classes.length === 0) return pathsOf(folder, entries).map((path) => ({ path }));
  const files: ImageFile[] = [];
  for (const className of classes.toSorted()) {
    const inside = join(folder, className);
    const paths = pathsOf(inside, await list(inside));
    // Left out, it would move the labels of all classes behind it.
    if (paths.length === 0 && trains) {
      throw new SppError(
        'bad-data',
        `The class folder ${inside} holds no images, not counting those in folders of its own.`,
        {
          hint: 'A class is known by its place in the alphabetical order of the folders: give it an image, or remove the folder if it is no class.',
        },
      );
    }
    for (const path of paths) files.push({ path, className });
  }
  return files;
}

function pathsOf(folder: string, entries: Awaited<ReturnType<typeof list>>): string[] {
  const names = entries.filter((entry) => entry.isFile() && IMAGE.test(entry.name)).map(({ name }) => name);
  return names.toSorted().map((name) => join(folder, name));
}

async function list(folder: string) {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (cause) {
    throw unreadable('data directory', folder, cause);
  }
}

/** The first `most` images that can be decoded; the store holds them in this order. */
async function decodeAll(
  files: readonly ImageFile[],
  most: number,
  to: {
    folder: string;
    hash: { update(data: string | Uint8Array): unknown };
    bad: BadRecords;
    store: ImageStore;
  },
): Promise<{ images: ImageFile[]; read: number }> {
  const images: ImageFile[] = [];
  let read = 0;
  while (images.length < most && read < files.length) {
    const some = files.slice(read, read + Math.min(AT_ONCE, most - images.length));
    read += some.length;
    const outcomes = await Promise.allSettled(some.map(({ path }) => to.store.decode(path)));
    for (const [i, outcome] of outcomes.entries()) {
      const file = some[i] as ImageFile;
      if (outcome.status === 'rejected') {
        to.bad.add(file.path, reasonOf(outcome.reason));
        continue;
      }
      to.hash.update(relative(to.folder, file.path));
      to.hash.update(outcome.value.bytes);
      to.store.add(outcome.value);
      images.push(file);
    }
  }
  return { images, read };
}

/** @param first place in the store of the split's first image */
function imageSplit(
  store: ImageStore,
  first: number,
  images: readonly ImageFile[],
  classes: readonly string[],
): Split {
  const places = new Map(classes.map((name, place) => [name, place]));
  const labelOf = (index: number) => places.get(images[index]?.className ?? '') ?? -1;
  return {
    count: images.length,
    read: async (indices) => ({ image: await store.read(indices.map((index) => first + index)) }),
    ...(classes.length === 0
      ? {}
      : { labels: (indices: readonly number[]) => Int32Array.from(indices, labelOf) }),
  };
}
