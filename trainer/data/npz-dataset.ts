/** Arrays by input name: an NPZ file (a zip of NPY files), two of them, or a folder of NPY files. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { unzipSync } from 'fflate';
import { SppError } from '../../schema/errors.ts';
import type { Tensor } from '../graph/graph.ts';
import { arrayDataset, type Columns } from './array-dataset.ts';
import type { DataSettings } from './data-settings.ts';
import type { Dataset, Targets } from './dataset.ts';
import { parseNpy } from './npy.ts';

/** Array names that are labels, not inputs. */
const LABELS = new Set(['labels', 'label', 'y']);
/** What PyTorch's losses ignore. */
const IGNORED = -100;

/**
 * `FILE.npz`, of which a tenth drawn by the seed is for testing, or a folder with `train.npz` and `test.npz`.
 * @throws `bad-data`
 */
export async function openNpz(path: string, settings: DataSettings, name: string): Promise<Dataset> {
  const parts = await readSplits(path, '.npz');
  const hash = createHash('sha256');
  const [train, test] = parts.map(({ bytes, file }) => {
    hash.update(bytes);
    return columnsOf(unzipped(bytes, file), file);
  });
  return joined(name, hash.digest('hex'), train as Labelled, test, settings);
}

/** A folder with an `INPUT.npy` for each input, or with folders `train` and `test` of such. @throws `bad-data` */
export async function openNpyFolder(path: string, settings: DataSettings, name: string): Promise<Dataset> {
  const hash = createHash('sha256');
  const read = async (folder: string): Promise<Labelled> => {
    const files = (await list(folder)).filter((file) => file.endsWith('.npy'));
    const arrays = new Map<string, Uint8Array>();
    for (const file of files) {
      const bytes = await readFile(join(folder, file));
      hash.update(file).update(bytes);
      arrays.set(basename(file, '.npy'), bytes);
    }
    return columnsOf(arrays, folder);
  };
  const names = await list(path);
  const split = names.includes('train') && names.includes('test');
  const train = await read(split ? join(path, 'train') : path);
  const test = split ? await read(join(path, 'test')) : undefined;
  return joined(name, hash.digest('hex'), train, test, settings);
}

interface Labelled extends Columns {
  readonly targets?: Targets;
}

function joined(
  name: string,
  sha256: string,
  train: Labelled,
  test: Labelled | undefined,
  { seed = 0 }: DataSettings,
): Dataset {
  if (test !== undefined && train.targets?.kind !== test.targets?.kind) {
    throw new SppError('bad-data', `${name}: training and test data do not have labels of the same kind.`);
  }
  const targets = train.targets && test?.targets ? widest(train.targets, test.targets) : train.targets;
  return arrayDataset({ name, sha256, ...(targets ? { targets } : {}) }, train, test, seed);
}

function widest(a: Targets, b: Targets): Targets {
  return a.kind === 'class' && b.kind === 'class' && b.names.length > a.names.length ? b : a;
}

function columnsOf(files: ReadonlyMap<string, Uint8Array>, source: string): Labelled {
  const parsed = [...files].map(([name, bytes]) => [name, parseNpy(bytes, `${source}: ${name}`)] as const);
  const arrays = Object.fromEntries(parsed.filter(([name]) => !LABELS.has(name)));
  if (Object.keys(arrays).length === 0) {
    throw new SppError('bad-data', `${source} holds no arrays.`, {
      hint: 'Name arrays as the model names its inputs.',
    });
  }
  const labels = parsed.find(([name]) => LABELS.has(name))?.[1];
  return labels === undefined ? { arrays } : { arrays, ...labelsOf(labels, source) };
}

/** [examples] are classes; [examples, tokens] what follows each token. */
function labelsOf(tensor: Tensor, source: string): { labels: Int32Array; targets: Targets } {
  if (tensor.dtype.startsWith('float') || tensor.dims.length < 1 || tensor.dims.length > 2) {
    throw new SppError('bad-data', `${source}: labels are ${tensor.dtype} [${tensor.dims.join(', ')}].`, {
      hint: 'Labels are integers: [examples] for classes, [examples, tokens] for next tokens.',
    });
  }
  const labels = Int32Array.from(tensor.data as ArrayLike<number | bigint>, (value) =>
    Number(value) === IGNORED ? -1 : Number(value),
  );
  if (tensor.dims.length === 2) return { labels, targets: { kind: 'next-token' } };
  const classes = labels.reduce((a, b) => Math.max(a, b), 0) + 1;
  return {
    labels,
    targets: { kind: 'class', names: Array.from({ length: classes }, (_, label) => String(label)) },
  };
}

function unzipped(bytes: Uint8Array, source: string): Map<string, Uint8Array> {
  try {
    const files = Object.entries(unzipSync(bytes));
    return new Map(files.map(([name, content]) => [name.replace(/\.npy$/, ''), content]));
  } catch (cause) {
    throw new SppError('bad-data', `${source} is not a whole NPZ file.`, {
      hint: 'numpy.savez writes them.',
      cause,
    });
  }
}

async function readSplits(path: string, ending: string): Promise<{ file: string; bytes: Uint8Array }[]> {
  const files = path.endsWith(ending) ? [path] : ['train', 'test'].map((split) => join(path, split + ending));
  return Promise.all(
    files.map(async (file) => ({
      file,
      bytes: await readFile(file).catch((cause: unknown) => {
        throw new SppError('bad-data', `The data file ${file} cannot be read.`, { cause });
      }),
    })),
  );
}

async function list(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).toSorted();
  } catch (cause) {
    throw new SppError('bad-data', `The data directory ${folder} cannot be read.`, { cause });
  }
}
