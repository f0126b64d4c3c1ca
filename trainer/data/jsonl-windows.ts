/** Unlabelled text and token ids: one long run, cut into windows. */
import { type DataSettings, DEFAULT_LENGTH } from './data-settings.ts';
import type { PlacedRecord, RecordKind } from './jsonl-kind.ts';
import { requiredTokenizer } from './text-dataset.ts';
import { TokenRun, windowDataset } from './token-windows.ts';
import type { Tokenizer } from './tokenizer.ts';

export function windowRecords(settings: DataSettings, name: string): RecordKind {
  const run = new TokenRun();
  let tokenizer: Tokenizer | undefined;
  const idsOf = async ({ record }: PlacedRecord): Promise<readonly number[]> => {
    if (record.kind === 'tokens') return record.tokens;
    tokenizer ??= await requiredTokenizer(settings, name);
    return record.kind === 'text' ? tokenizer.encode(record.text) : [];
  };
  return {
    differs: ({ kind, label, image }) => {
      if (kind === 'arrays') return 'holds arrays, the first does not';
      if (image !== undefined) return 'has an image, the first has none';
      return label === undefined ? undefined : 'has a label, the first has none';
    },
    async add(records, bad) {
      for (const placed of records) {
        const ids = await idsOf(placed);
        if (ids.includes(-1)) bad.add(placed.where, 'has characters that the vocabulary lacks');
        else run.append([...ids, ...between(tokenizer)]);
      }
    },
    finish(source) {
      const length = settings.length ?? DEFAULT_LENGTH;
      const recipe = { tokenizer: tokenizer?.sha256, length };
      return windowDataset({ ...source, recipe }, run.tokens(), length);
    },
  };
}

/** A line end between texts, where the vocabulary has one. */
function between(tokenizer: Tokenizer | undefined): readonly number[] {
  return (tokenizer?.encode('\n') ?? []).filter((id) => id !== -1);
}
