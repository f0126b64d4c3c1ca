/** The models of the comparison, where they lie, their data, and what quality means for each. */
import { execFile } from 'node:child_process';
import { access, mkdir } from 'node:fs/promises';
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
  open(work: string, most: { train: number; test: number }): Promise<Dataset>;
}

const accuracy: Metric = {
  name: 'accuracy, %',
  better: 'higher',
  digits: 2,
  of: ({ value, low, high }) => ({ value: 100 * value, low: 100 * low, high: 100 * high }),
};

const perplexity: Metric = {
  name: 'perplexity a character',
  better: 'lower',
  digits: 3,
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
  of: ({ value, low, high }) => ({ value, low, high }),
};

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
    open: () => openDataset('mnist'),
  },
  'cifar-vit': {
    file: shared('models/cifar-vit.onnx'),
    metric: accuracy,
    batch: 64,
    samples: 3000,
    open: async (work, most) => {
      const folder = join(work, 'cifar');
      await unpackOnce(shared('data/cifar10-jpeg.tar.gz'), work, join(folder, 'train'));
      const settings: DataSettings = {
        image: { channels: 3, height: 32, width: 32 },
        normalisation: { scale: 1 / 255, mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] },
        most,
      };
      return openDataset(`images:${folder}`, settings);
    },
  },
  'shakespeare-llama': {
    file: shared('models/shakespeare-llama.onnx'),
    metric: perplexity,
    batch: 16,
    samples: 400,
    open: characters,
  },
  'shakespeare-opt': {
    file: shared('models/shakespeare-opt.onnx'),
    metric: perplexity,
    batch: 16,
    samples: 400,
    open: characters,
  },
  minilm: {
    file: new URL('../../.data/minilm/minilm.onnx', import.meta.url).pathname,
    metric: cosine,
    batch: 32,
    samples: 500,
    task: 'embedding',
    open: () =>
      openDataset(`jsonl:${new URL('../../.data/minilm/mails.jsonl', import.meta.url).pathname}`, {
        tokenizer: new URL('../../.data/minilm/tokenizer.json', import.meta.url).pathname,
        length: 64,
      }),
  },
};

async function unpackOnce(archive: string, into: string, made: string): Promise<void> {
  const there = await access(made).then(
    () => true,
    () => false,
  );
  if (there) return;
  await mkdir(into, { recursive: true });
  await promisify(execFile)('tar', ['xzf', archive, '-C', into]);
}
