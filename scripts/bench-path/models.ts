/** The models of the comparison, where they lie, their data, and what quality means for each. */
import { execFile } from 'node:child_process';
import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SppError } from '../../schema/errors.ts';
import type { Quality } from '../../schema/manifest.ts';
import type { DataSettings } from '../../trainer/data/data-settings.ts';
import type { Dataset } from '../../trainer/data/dataset.ts';
import { openDataset } from '../../trainer/data/open-dataset.ts';

/** A number that people compare levels by, from a measured quality. */
export interface Metric {
  readonly name: string;
  readonly better: 'higher' | 'lower';
  readonly digits: number;
  /** What artifacts call it, and how many of it make one of theirs. */
  readonly measured: { readonly metric: string; readonly per: number };
  /** By how much a level may be worse than one that was trained by itself, and count as good. */
  near(other: number): number;
  of(quality: Quality): { value: number; low: number; high: number };
}

export interface BenchModel {
  readonly file: string;
  readonly metric: Metric;
  /** Examples a step of search and recovery. */
  readonly batch: number;
  /** Test examples; all where it is affordable. */
  readonly samples: number;
  readonly task?: 'embedding';
  /** What half of the reachable FLOPs may cost, from the dense model's own figure. */
  halfLoss(dense: number): number;
  /**
   * Raised when statistics of this model's activations change and no other's, so that methods which rest on them are measured again; 1 when
   * absent.
   */
  readonly statisticsRevision?: number;
  /** Where the file leaves lengths open: FLOPs are those of an example of the data, as a build counts them. */
  readonly flopsOf?: 'data';
  /** Whether a linear probe on the labels is measured too. */
  readonly probe?: true;
  /** @param most test examples that are asked for */
  open(work: string, most: number): Promise<Dataset>;
}

const accuracy: Metric = {
  name: 'accuracy, %',
  better: 'higher',
  digits: 2,
  measured: { metric: 'accuracy', per: 100 },
  near: () => 0.3,
  of: ({ value, low, high }) => ({ value: 100 * value, low: 100 * low, high: 100 * high }),
};

const perplexity: Metric = {
  name: 'perplexity a character',
  better: 'lower',
  digits: 3,
  measured: { metric: 'perplexity', per: 1 },
  near: (other) => 0.01 * other,
  of: ({ details }) => {
    const nats = details?.['cross-entropy'];
    if (nats === undefined) throw new SppError('internal', 'No cross-entropy was measured.');
    return { value: Math.exp(nats.value), low: Math.exp(nats.low), high: Math.exp(nats.high) };
  },
};

const cosine: Metric = {
  name: 'cosine to the dense embedding',
  better: 'higher',
  digits: 4,
  measured: { metric: 'cosine', per: 1 },
  near: () => 0.003,
  of: ({ value, low, high }) => ({ value, low, high }),
};

/** Name of the probe's metric. */
export const PROBE = 'accuracy of a linear ham/spam probe, %';

const shared = (path: string) => new URL(`../../../shared/${path}`, import.meta.url).pathname;
const characters = (): Promise<Dataset> =>
  openDataset(`text:${shared('data/shakespeare.txt')}`, {
    tokenizer: `chars:${shared('models/shakespeare.json')}`,
    length: 128,
  });

export const benchModels: Readonly<Record<string, BenchModel>> = {
  digits: {
    file: new URL('../../examples/digits/digits.onnx', import.meta.url).pathname,
    metric: accuracy,
    batch: 64,
    samples: 10_000,
    halfLoss: () => 0.3,
    open: () => openDataset('mnist'),
  },
  'cifar-vit': {
    file: shared('models/cifar-vit.onnx'),
    metric: accuracy,
    batch: 64,
    samples: 10_000,
    halfLoss: () => 1,
    open: async (work, test) => {
      const folder = join(work, 'cifar');
      await unpackOnce(shared('data/cifar10-jpeg.tar.gz'), work, 'cifar');
      const settings: DataSettings = {
        image: { channels: 3, height: 32, width: 32 },
        normalisation: { scale: 1 / 255, mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] },
        most: { train: Number.POSITIVE_INFINITY, test },
      };
      return openDataset(`images:${folder}`, settings);
    },
  },
  'shakespeare-llama': {
    file: shared('models/shakespeare-llama.onnx'),
    metric: perplexity,
    batch: 16,
    samples: 400,
    halfLoss: (dense) => 0.03 * dense,
    flopsOf: 'data',
    open: characters,
  },
  'shakespeare-opt': {
    file: shared('models/shakespeare-opt.onnx'),
    metric: perplexity,
    batch: 16,
    samples: 400,
    halfLoss: (dense) => 0.03 * dense,
    flopsOf: 'data',
    open: characters,
  },
  minilm: {
    file: new URL('../../.data/minilm/minilm.onnx', import.meta.url).pathname,
    metric: cosine,
    batch: 32,
    samples: 604,
    halfLoss: () => 0.02,
    task: 'embedding',
    // Padded tokens count no longer.
    statisticsRevision: 2,
    flopsOf: 'data',
    probe: true,
    open: () =>
      openDataset(`jsonl:${new URL('../../.data/minilm/mails.jsonl', import.meta.url).pathname}`, {
        tokenizer: new URL('../../.data/minilm/tokenizer.json', import.meta.url).pathname,
        length: 64,
      }),
  },
};

/** Whole or not at all: several processes may want it. @param folder what the archive holds */
async function unpackOnce(archive: string, into: string, folder: string): Promise<void> {
  const wanted = join(into, folder);
  const isThere = () =>
    access(wanted).then(
      () => true,
      () => false,
    );
  if (await isThere()) return;
  await mkdir(into, { recursive: true });
  const partial = await mkdtemp(join(into, 'unpacking-'));
  try {
    await promisify(execFile)('tar', ['xzf', archive, '-C', partial]);
    await rename(join(partial, folder), wanted).catch(async (error: unknown) => {
      if (!(await isThere())) throw error;
    });
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}
