/** Files as people have them, in a folder that goes when the test file is done. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import type { Dataset, Split } from './dataset.ts';

let root = '';

/** Call once at the top of a test file. */
export function withFolder(): void {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'data-'));
  });
  afterAll(() => rm(root, { recursive: true, force: true }));
}

export const pathOf = (name: string) => join(root, name);

/** @returns its path */
export async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = pathOf(name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, content);
  return path;
}

export const everything = (split: Split) => Array.from({ length: split.count }, (_, i) => i);

/** A field of all examples, training ones first. */
export async function allOf(dataset: Dataset, field: string): Promise<number[]> {
  const parts = [dataset.train, dataset.test].map((split) => split.read(everything(split)));
  return (await Promise.all(parts)).flatMap((read) => Array.from(read[field]?.data ?? [], Number));
}

/** A word-level tokenizer.json as Hugging Face's library writes it, with [CLS] and [SEP] around whole texts. */
export function wordTokenizer(): Promise<string> {
  const special = (id: number, content: string) => ({
    id,
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  });
  return file(
    'tok/tokenizer.json',
    JSON.stringify({
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: [special(0, '[UNK]'), special(1, '[CLS]'), special(2, '[SEP]')],
      normalizer: { type: 'Lowercase' },
      pre_tokenizer: { type: 'Whitespace' },
      post_processor: {
        type: 'TemplateProcessing',
        single: [
          { SpecialToken: { id: '[CLS]', type_id: 0 } },
          { Sequence: { id: 'A', type_id: 0 } },
          { SpecialToken: { id: '[SEP]', type_id: 0 } },
        ],
        pair: [],
        special_tokens: {
          '[CLS]': { id: '[CLS]', ids: [1], tokens: ['[CLS]'] },
          '[SEP]': { id: '[SEP]', ids: [2], tokens: ['[SEP]'] },
        },
      },
      decoder: null,
      model: {
        type: 'WordLevel',
        vocab: { '[UNK]': 0, '[CLS]': 1, '[SEP]': 2, to: 3, be: 4, or: 5, not: 6 },
        unk_token: '[UNK]',
      },
    }),
  );
}
