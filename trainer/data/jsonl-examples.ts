/** Records that are an example each: a text or token ids, filled up or cut to the length, an image, or both. */
import { dirname, resolve } from 'node:path';
import { splitBySeed } from './array-dataset.ts';
import type { BadRecords } from './bad-records.ts';
import { type DataSettings, DEFAULT_LENGTH } from './data-settings.ts';
import type { Dataset, Field, Split, Targets } from './dataset.ts';
import { AT_ONCE, type DecodedImage, decodingOf, ImageStore, reasonOf } from './image-store.ts';
import { labelDiffers, type PlacedRecord, type RecordKind } from './jsonl-kind.ts';
import { LabelList } from './jsonl-labels.ts';
import type { JsonRecord } from './jsonl-record.ts';
import { gather, type Rows, RowWriter } from './rows.ts';
import { requiredTokenizer } from './text-dataset.ts';
import type { Tokenizer } from './tokenizer.ts';

const TOKEN_BYTES = 4;

interface Texts {
  readonly rows: Rows;
  /** Tokens that are not padding, by example. */
  readonly lengths: readonly number[];
  readonly length: number;
}

/** @throws `usage` when texts have no tokenizer, or images no size */
export async function exampleRecords(
  first: JsonRecord,
  settings: DataSettings,
  file: string,
  name: string,
): Promise<RecordKind> {
  const tokenizer = first.kind === 'text' ? await requiredTokenizer(settings, name) : undefined;
  const store = first.image === undefined ? undefined : new ImageStore(decodingOf(settings, name));
  const length = settings.length ?? DEFAULT_LENGTH;
  const writer = new RowWriter(TOKEN_BYTES * length);
  const lengths: number[] = [];
  const labels = new LabelList();
  const most =
    settings.most === undefined || store === undefined ? undefined : settings.most.train + settings.most.test;
  const addOne = ({ where, record }: PlacedRecord, image: DecodedImage | undefined, bad: BadRecords) => {
    const ids = idsOf(record, tokenizer);
    if (ids.includes(-1)) {
      bad.add(where, 'has characters that the vocabulary lacks');
      return;
    }
    const row = new Int32Array(length).fill(tokenizer?.padding ?? 0);
    row.set(ids.slice(0, length));
    writer.write(new Uint8Array(row.buffer));
    lengths.push(Math.min(ids.length, length));
    labels.add(record.label);
    if (image !== undefined) store?.add(image);
  };
  const full = () => most !== undefined && lengths.length >= most;
  return {
    full,
    differs(record) {
      if (record.kind !== first.kind) return `holds ${record.kind}, the first ${first.kind}`;
      if ((record.image === undefined) !== (first.image === undefined))
        return first.image === undefined ? 'has an image, the first has none' : 'has no image';
      return labelDiffers(record, first);
    },
    async add(records, bad) {
      for (let start = 0; start < records.length && !full(); start += AT_ONCE) {
        const some = records.slice(start, start + AT_ONCE);
        const images = await Promise.allSettled(some.map(({ record }) => imageOf(record, store, file)));
        for (const [i, placed] of some.entries()) {
          const image = images[i] as PromiseSettledResult<DecodedImage | undefined>;
          if (image.status === 'rejected')
            bad.add(placed.where, `${placed.record.image}: ${reasonOf(image.reason)}`);
          else addOne(placed, image.value, bad);
        }
      }
    },
    finish(source) {
      const rows = writer.finish();
      const texts = first.kind === 'image' ? undefined : { rows, lengths, length };
      return finished(source, texts, store, labels, { ...settings, tokenizerSha: tokenizer?.sha256 });
    },
  };
}

async function imageOf(
  { image }: JsonRecord,
  store: ImageStore | undefined,
  file: string,
): Promise<DecodedImage | undefined> {
  if (image === undefined || store === undefined) return undefined;
  return store.decode(resolve(dirname(file), image));
}

function idsOf(record: JsonRecord, tokenizer: Tokenizer | undefined): readonly number[] {
  if (record.kind === 'tokens') return record.tokens;
  return record.kind === 'text' ? (tokenizer?.encodeWhole(record.text) ?? []) : [];
}

function finished(
  source: Pick<Dataset, 'name' | 'sha256'>,
  texts: Texts | undefined,
  store: ImageStore | undefined,
  list: LabelList,
  { seed = 0, tokenizerSha }: DataSettings & { readonly tokenizerSha: string | undefined },
): Dataset {
  const { labels, targets: classes } = list.finish();
  const count = texts?.rows.count ?? store?.count ?? 0;
  // Without padding, models that take no mask can be fed too.
  const padded = texts?.lengths.some((own) => own < texts.length) ?? false;
  const { train, test } = splitBySeed(count, seed);
  const targets: Targets | undefined =
    classes ?? (texts === undefined || store ? undefined : { kind: 'next-token' });
  const split = (order: readonly number[]): Split => ({
    count: order.length,
    async read(indices) {
      const at = indices.map((index) => order[index] as number);
      return {
        ...(texts === undefined ? {} : tokensAt(texts, at, padded)),
        ...(store === undefined ? {} : { image: await store.read(at) }),
      };
    },
    ...(targets === undefined
      ? {}
      : {
          labels: (indices: readonly number[]) => {
            const at = indices.map((index) => order[index] as number);
            if (labels !== undefined) return Int32Array.from(at, (index) => labels[index] as number);
            return followers(texts as Texts, at);
          },
        }),
  });
  return {
    ...source,
    fields: fieldsOf(texts, store, padded),
    ...(targets === undefined ? {} : { targets }),
    train: split(train),
    test: split(test),
    recipe: {
      splitSeed: seed,
      ...(texts === undefined ? {} : { tokenizer: tokenizerSha, length: texts.length, apart: true }),
      ...(store === undefined ? {} : { ...store.decoding }),
    },
    ...(store === undefined ? {} : { normalisation: store.decoding.normalisation }),
  };
}

function fieldsOf(texts: Texts | undefined, store: ImageStore | undefined, padded: boolean): Field[] {
  const fields: Field[] = [];
  if (texts !== undefined)
    fields.push({ name: 'tokens', role: 'tokens', dtype: 'int32', shape: [texts.length] });
  if (texts !== undefined && padded)
    fields.push({ name: 'mask', role: 'mask', dtype: 'int32', shape: [texts.length] });
  if (store !== undefined) {
    const { channels, height, width } = store.decoding.size;
    fields.push({ name: 'image', role: 'image', dtype: 'float32', shape: [channels, height, width] });
  }
  return fields;
}

function tokensAt({ rows, lengths, length }: Texts, at: readonly number[], padded: boolean) {
  const dims = [at.length, length];
  const data = new Int32Array(gather(rows, TOKEN_BYTES * length, at).buffer);
  const tokens = { dtype: 'int32', dims, data } as const;
  if (!padded) return { tokens };
  const mask = new Int32Array(at.length * length);
  for (const [row, index] of at.entries())
    mask.fill(1, row * length, row * length + (lengths[index] as number));
  return { tokens, mask: { dtype: 'int32', dims, data: mask } as const };
}

/** The token behind each one, -1 at the end of a text. */
function followers({ rows, lengths, length }: Texts, at: readonly number[]): Int32Array {
  const tokens = new Int32Array(gather(rows, TOKEN_BYTES * length, at).buffer);
  return tokens.map((_, place) => {
    const own = lengths[at[Math.floor(place / length)] as number] as number;
    return (place % length) + 1 < own ? (tokens[place + 1] as number) : -1;
  });
}
