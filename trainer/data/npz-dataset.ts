/** Arrays by input name: an NPZ file (a zip of NPY files), two of them, or a folder of NPY files. Read in a stream. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, openSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { Unzip, UnzipInflate } from 'fflate';
import { SppError } from '../../schema/errors.ts';
import { type ArraySource, arrayDataset, type Columns, countOf } from './array-dataset.ts';
import { BadRecords } from './bad-records.ts';
import type { DataSettings } from './data-settings.ts';
import { type Dataset, MOST_CLASSES, type Targets } from './dataset.ts';
import { checkNpyLength, type NpyHeader, npyArray, npyEndsEarly, npyHeader } from './npy.ts';
import { fileRows, RowWriter } from './rows.ts';
import { unreadable } from './unreadable.ts';
import { zipSums } from './zip-sums.ts';

/** Array names that are labels, not inputs. */
const LABELS = new Set(['labels', 'label', 'y']);
/** What PyTorch's losses ignore. */
const IGNORED = -100;

/**
 * `FILE.npz`, of which a tenth drawn by the seed is for testing, or a folder with `train.npz` and `test.npz`.
 * @throws `bad-data`
 */
export async function openNpz(path: string, settings: DataSettings, name: string): Promise<Dataset> {
  const files = path.endsWith('.npz') ? [path] : ['train', 'test'].map((split) => join(path, `${split}.npz`));
  const hash = createHash('sha256');
  const parts: Labelled[] = [];
  for (const file of files) parts.push(columnsOf(await zippedArrays(file, hash), file));
  return joined(name, hash.digest('hex'), parts[0] as Labelled, parts[1], settings);
}

/** A folder with an `INPUT.npy` for each input, or with folders `train` and `test` of such. @throws `bad-data` */
export async function openNpyFolder(path: string, settings: DataSettings, name: string): Promise<Dataset> {
  const hash = createHash('sha256');
  const read = async (folder: string): Promise<Labelled> => {
    const arrays = new Map<string, ArraySource>();
    for (const file of (await list(folder)).filter((each) => each.endsWith('.npy'))) {
      hash.update(file);
      arrays.set(basename(file, '.npy'), await npyFile(join(folder, file), hash));
    }
    return columnsOf(arrays, folder);
  };
  const names = await list(path);
  const split = names.includes('train') && names.includes('test');
  const train = await read(split ? join(path, 'train') : path);
  const test = split ? await read(join(path, 'test')) : undefined;
  return joined(name, hash.digest('hex'), train, test, settings);
}

/** An array left where it is; the file is read once, for its digest. */
async function npyFile(path: string, hash: Hash): Promise<ArraySource> {
  let lead = Buffer.alloc(0);
  let header: NpyHeader | undefined;
  let size = 0;
  for await (const chunk of chunksOf(path)) {
    hash.update(chunk);
    size += chunk.length;
    if (header !== undefined) continue;
    lead = Buffer.concat([lead, chunk]);
    header = npyHeader(lead, path);
  }
  if (header === undefined) throw npyEndsEarly(path);
  checkNpyLength(header, size - header.start, path);
  // Open from here on: what is read later must be the file that was hashed, even if its name goes.
  const descriptor = openSync(path, 'r');
  return npyArray(header, fileRows(descriptor, header.start, header.dims[0] ?? 0, header.rowBytes));
}

/** @throws `bad-data` when the file is no zip, or cut off */
async function zippedArrays(path: string, hash: Hash): Promise<Map<string, ArraySource>> {
  const arrays = new Map<string, ArraySource>();
  const sums = new Map<string, number>();
  let open = 0;
  let failure: unknown;
  const unzip = new Unzip((entry) => {
    const name = entry.name.replace(/\.npy$/, '');
    const receive = npyReceiver(`${path}: ${name}`);
    open++;
    entry.ondata = (error, data, final) => {
      if (error) throw error;
      receive.write(data);
      sums.set(entry.name, crc32(data, sums.get(entry.name)));
      if (!final) return;
      arrays.set(name, receive.finish());
      open--;
    };
    entry.start();
  });
  unzip.register(UnzipInflate);
  let tail = Buffer.alloc(0);
  try {
    for await (const chunk of chunksOf(path)) {
      hash.update(chunk);
      unzip.push(chunk);
      tail = Buffer.concat([tail.subarray(-ZIP_END_BYTES), chunk.subarray(-ZIP_END_BYTES)]);
    }
    unzip.push(new Uint8Array(0), true);
  } catch (cause) {
    if (cause instanceof SppError) throw cause;
    failure = cause;
  }
  if (failure !== undefined || open > 0 || !tail.includes(ZIP_END)) {
    throw new SppError('bad-data', `${path} is not a whole NPZ file.`, {
      hint: 'numpy.savez writes them.',
      cause: failure,
    });
  }
  const stated = zipSums(tail);
  const damaged = [...sums].find(([name, sum]) => (stated.get(name) ?? sum) !== sum);
  if (damaged)
    throw new SppError('bad-data', `${path}: ${damaged[0]} is damaged: its checksum is another one.`, {
      hint: 'Copy or download the file again.',
    });
  return arrays;
}

/** The record at the end of every zip file, and how far from the end it may begin. */
const ZIP_END = Buffer.from('PK\x05\x06', 'latin1');
const ZIP_END_BYTES = 22 + 0xffff;

/** Takes an NPY file in pieces. */
function npyReceiver(source: string): { write(data: Uint8Array): void; finish(): ArraySource } {
  let lead = Buffer.alloc(0);
  let made: { readonly header: NpyHeader; readonly rows: RowWriter } | undefined;
  let held = 0;
  const keep = (data: Uint8Array) => {
    held += data.length;
    if (made !== undefined && held <= made.header.bytes) made.rows.write(data);
  };
  return {
    write(data) {
      if (made !== undefined) {
        keep(data);
        return;
      }
      lead = Buffer.concat([lead, data]);
      const header = npyHeader(lead, source);
      if (header === undefined) return;
      made = { header, rows: new RowWriter(header.rowBytes) };
      keep(lead.subarray(header.start));
    },
    finish() {
      if (made === undefined) throw npyEndsEarly(source);
      checkNpyLength(made.header, held, source);
      return npyArray(made.header, made.rows.finish());
    },
  };
}

interface Labelled extends Columns {
  readonly targets?: Targets;
}

function joined(
  name: string,
  sha256: string,
  train: Labelled,
  test: Labelled | undefined,
  settings: DataSettings,
): Dataset {
  if (test !== undefined && train.targets?.kind !== test.targets?.kind) {
    throw new SppError('bad-data', `${name}: training and test data do not have labels of the same kind.`);
  }
  const targets = train.targets && test?.targets ? widest(train.targets, test.targets) : train.targets;
  const bad = new BadRecords();
  const source = { name, sha256, ...(targets ? { targets } : {}) };
  const dataset = arrayDataset(source, train, test, settings.seed ?? 0, bad);
  bad.settle(name, countOf(train) + (test ? countOf(test) : 0), settings);
  return dataset;
}

function widest(a: Targets, b: Targets): Targets {
  return a.kind === 'class' && b.kind === 'class' && b.names.length > a.names.length ? b : a;
}

function columnsOf(all: ReadonlyMap<string, ArraySource>, source: string): Labelled {
  const arrays = Object.fromEntries([...all].filter(([name]) => !LABELS.has(name)));
  if (Object.keys(arrays).length === 0) {
    throw new SppError('bad-data', `${source} holds no arrays.`, {
      hint: 'Name arrays as the model names its inputs.',
    });
  }
  const labels = [...all].find(([name]) => LABELS.has(name))?.[1];
  return labels === undefined ? { arrays } : { arrays, ...labelsOf(labels, source) };
}

/** [examples] or [examples, 1] are classes; [examples, tokens] what follows each token. */
function labelsOf(array: ArraySource, source: string): { labels: Int32Array; targets: Targets } {
  const { dtype, dims } = array;
  const { data } = array.take(Array.from({ length: dims[0] ?? 0 }, (_, i) => i));
  const values = Array.from(data as ArrayLike<number | bigint>, Number);
  // Losses of yes and no want theirs as floats.
  if (!values.every(Number.isInteger) || dims.length < 1 || dims.length > 2) {
    throw new SppError('bad-data', `${source}: labels are ${dtype} [${dims.join(', ')}].`, {
      hint: 'Labels are whole numbers: [examples] for classes, [examples, tokens] for next tokens. For anything else, as in a regression, leave them out: the path then keeps what the dense model answers.',
    });
  }
  const place = values.findIndex((value) => value !== IGNORED && (value < 0 || value >= MOST_CLASSES));
  if (place >= 0) {
    throw new SppError('bad-data', `${source}: the label at ${place} is ${values[place]}.`, {
      hint: `Labels are places among the model's classes, from 0 to at most ${MOST_CLASSES - 1}; ${IGNORED} does not count.`,
    });
  }
  if (values.every((value) => value === IGNORED)) {
    throw new SppError('bad-data', `${source}: no label counts: all are ${IGNORED}.`, {
      hint: 'Leave the labels out: the path then keeps what the dense model answers.',
    });
  }
  const labels = Int32Array.from(values, (value) => (value === IGNORED ? -1 : value));
  const [, rows = 1] = dims;
  if (rows > 1) {
    const binary = labels.every((label) => label <= 1);
    return { labels, targets: { kind: 'next-token', rows, ...(binary ? { binary } : {}) } };
  }
  const classes = labels.reduce((a, b) => Math.max(a, b), 0) + 1;
  return {
    labels,
    targets: { kind: 'class', names: Array.from({ length: classes }, (_, label) => String(label)) },
  };
}

async function* chunksOf(path: string): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) yield chunk as Buffer;
  } catch (cause) {
    if (cause instanceof SppError) throw cause;
    throw unreadable('data file', path, cause);
  }
}

async function list(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).toSorted();
  } catch (cause) {
    throw unreadable('data directory', folder, cause);
  }
}
