/**
 * Images in folders, a folder a class: `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*` of which a tenth drawn by the
 * seed is for testing; images without class folders have no labels. Every image is decoded once when the set is
 * opened, which shows the bad ones; the pixels are kept while they fit, and decoded again where they do not.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { SppError } from '../../schema/errors.ts';
import { randomSource, shuffledRange, streams } from '../search/random.ts';
import { splitBySeed } from './array-dataset.ts';
import { BadRecords } from './bad-records.ts';
import type { DataSettings, ImageSize } from './data-settings.ts';
import type { Dataset, Normalisation, Split } from './dataset.ts';
import { readImage } from './image-file.ts';

/** Means and deviations of ImageNet, which most image models were trained with. */
export const imageNormalisation: Readonly<Record<ImageSize['channels'], Normalisation>> = {
  1: { scale: 1 / 255, mean: [0.5], std: [0.5] },
  3: { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
};

const IMAGE = /\.(jpe?g|png|webp|gif|tiff?|avif|bmp)$/i;
const KEPT_BYTES = 2 ** 30;
const AT_ONCE = 8;

interface ImageFile {
  readonly path: string;
  readonly className?: string;
}

interface Decoded extends ImageFile {
  /** Absent: decoded again when asked for. */
  readonly pixels?: Uint8Array;
}

interface Decoding {
  readonly size: ImageSize;
  readonly crop: number;
  readonly normalisation: Normalisation;
}

/** @throws `bad-data` naming folders or files at fault; `usage` when the size is not known */
export async function openImageFolder(
  folder: string,
  settings: DataSettings,
  name: string,
): Promise<Dataset> {
  const { image: size, crop = 1, seed = 0 } = settings;
  if (size === undefined) {
    throw new SppError('usage', `${name}: the model does not say how large its images are.`, {
      hint: 'Say it with --size HEIGHTxWIDTH.',
    });
  }
  const normalisation = settings.normalisation ?? imageNormalisation[size.channels];
  checkChannels(normalisation, size);
  const decoding = { size, crop, normalisation };
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
  const room = { bytes: KEPT_BYTES };
  const open = (some: readonly ImageFile[], most = some.length) =>
    decodeAll(some, most, decoding, { folder, hash, bad, room });
  const train = await open(files.train, settings.most?.train);
  const test = await open(files.test, settings.most?.test);
  bad.settle(folder, train.read + test.read, settings);
  for (const [split, { images }] of Object.entries({ training: train, test }))
    if (images.length === 0) throw new SppError('bad-data', `${folder} has no ${split} images.`);
  return {
    name,
    fields: [
      { name: 'image', role: 'image', dtype: 'float32', shape: [size.channels, size.height, size.width] },
    ],
    ...(classes.length === 0 ? {} : { targets: { kind: 'class', names: classes } }),
    train: imageSplit(train.images, classes, decoding),
    test: imageSplit(test.images, classes, decoding),
    sha256: hash.digest('hex'),
    recipe: { normalisation, crop, size, seed },
    normalisation,
  };
}

function checkChannels({ mean, std }: Normalisation, { channels }: ImageSize): void {
  if (mean.length === channels && std.length === channels) return;
  throw new SppError(
    'usage',
    `--mean and --std have ${mean.length} and ${std.length} values; the model has ${channels} channels.`,
  );
}

async function splitFiles(folder: string, seed: number): Promise<{ train: ImageFile[]; test: ImageFile[] }> {
  const names = (await list(folder)).map(({ name }) => name);
  if (names.includes('train') && names.includes('test')) {
    const shuffled = async (split: string, step: number) => {
      const files = await imagesIn(join(folder, split));
      const order = shuffledRange(randomSource(seed, streams.split, step), files.length);
      return order.map((place) => files[place] as ImageFile);
    };
    return { train: await shuffled('train', 1), test: await shuffled('test', 2) };
  }
  const files = await imagesIn(folder);
  if (files.length === 0) throw new SppError('bad-data', `${folder} has no images.`);
  const { train, test } = splitBySeed(files.length, seed);
  const take = (places: readonly number[]) => places.map((place) => files[place] as ImageFile);
  return { train: take(train), test: take(test) };
}

/** Images of class folders, or those that lie in the folder itself, in the order of their names. */
async function imagesIn(folder: string): Promise<ImageFile[]> {
  const entries = await list(folder);
  const classes = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  if (classes.length === 0) return pathsOf(folder, entries).map((path) => ({ path }));
  const files: ImageFile[] = [];
  for (const className of classes.toSorted()) {
    const inside = join(folder, className);
    for (const path of pathsOf(inside, await list(inside))) files.push({ path, className });
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
    throw new SppError('bad-data', `The data directory ${folder} cannot be read.`, { cause });
  }
}

/** The first `most` images that can be decoded. */
async function decodeAll(
  files: readonly ImageFile[],
  most: number,
  { size, crop }: Decoding,
  to: {
    folder: string;
    hash: { update(data: string | Uint8Array): unknown };
    bad: BadRecords;
    room: { bytes: number };
  },
): Promise<{ images: Decoded[]; read: number }> {
  const images: Decoded[] = [];
  let read = 0;
  while (images.length < most && read < files.length) {
    const some = files.slice(read, read + Math.min(AT_ONCE, most - images.length));
    read += some.length;
    const outcomes = await Promise.allSettled(
      some.map(async ({ path }) => [await readFile(path), await readImage(path, size, crop)] as const),
    );
    for (const [i, outcome] of outcomes.entries()) {
      const file = some[i] as ImageFile;
      if (outcome.status === 'rejected') {
        to.bad.add(file.path, reasonOf(outcome.reason));
        continue;
      }
      const [bytes, pixels] = outcome.value;
      to.hash.update(relative(to.folder, file.path));
      to.hash.update(bytes);
      const fits = to.room.bytes >= pixels.length;
      if (fits) to.room.bytes -= pixels.length;
      images.push(fits ? { ...file, pixels } : file);
    }
  }
  return { images, read };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
}

function imageSplit(images: readonly Decoded[], classes: readonly string[], decoding: Decoding): Split {
  const { size, crop, normalisation } = decoding;
  const { channels, height, width } = size;
  const area = height * width;
  const tables = Array.from({ length: channels }, (_, channel) => byteTable(normalisation, channel));
  const places = new Map(classes.map((name, place) => [name, place]));
  const labelOf = (index: number) => places.get(images[index]?.className ?? '') ?? -1;
  return {
    count: images.length,
    async read(indices) {
      const data = new Float32Array(indices.length * channels * area);
      for (let start = 0; start < indices.length; start += AT_ONCE) {
        const some = indices.slice(start, start + AT_ONCE).map((index) => images[index] as Decoded);
        const pixels = await Promise.all(
          some.map(({ path, pixels: kept }) => kept ?? readImage(path, size, crop)),
        );
        for (const [i, bytes] of pixels.entries())
          for (const [channel, table] of tables.entries())
            for (let p = 0; p < area; p++)
              data[((start + i) * channels + channel) * area + p] = table[
                bytes[p * channels + channel] as number
              ] as number;
      }
      return { image: { dtype: 'float32', dims: [indices.length, channels, height, width], data } };
    },
    ...(classes.length === 0
      ? {}
      : { labels: (indices: readonly number[]) => Int32Array.from(indices, labelOf) }),
  };
}

/** All 256 values of a channel once, instead of arithmetic per pixel. */
function byteTable({ scale, mean, std }: Normalisation, channel: number): Float32Array {
  return Float32Array.from(
    { length: 256 },
    (_, value) => (value * scale - (mean[channel] ?? 0)) / (std[channel] ?? 1),
  );
}
