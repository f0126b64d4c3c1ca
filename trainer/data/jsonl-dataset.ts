/**
 * A JSON Lines file: unlabelled text and token ids run on into windows, labelled ones are an example each, filled up
 * or cut to the length; arrays by input name are stacked.
 */
import { createHash } from 'node:crypto';
import { SppError } from '../../schema/errors.ts';
import type { Tensor } from '../graph/graph.ts';
import { arrayDataset, type Columns, splitColumns } from './array-dataset.ts';
import { BadRecords } from './bad-records.ts';
import { type DataSettings, DEFAULT_LENGTH } from './data-settings.ts';
import type { Dataset, Field, Targets } from './dataset.ts';
import { type JsonRecord, type NumberArray, parseRecord } from './jsonl-record.ts';
import { requiredTokenizer, textBlocks } from './text-dataset.ts';
import { TokenRun, windowDataset } from './token-windows.ts';
import type { Tokenizer } from './tokenizer.ts';

interface Placed {
  readonly where: string;
  readonly record: JsonRecord;
}

/** @throws `bad-data`; `usage` when records hold text and no tokenizer was named */
export async function openJsonl(file: string, settings: DataSettings, name: string): Promise<Dataset> {
  const bad = new BadRecords();
  const { records, total, sha256 } = await readRecords(file, bad);
  const [first] = records;
  if (first === undefined) {
    bad.settle(file, total, settings);
    throw new SppError('bad-data', `${file} holds no records.`);
  }
  const alike = records.filter(({ where, record }) => {
    const difference = differs(record, first.record);
    if (difference !== undefined) bad.add(where, difference);
    return difference === undefined;
  });
  const source = { name, sha256 };
  const dataset =
    first.record.kind === 'arrays'
      ? stackedArrays(source, alike, settings)
      : await tokenExamples(source, alike, bad, settings);
  bad.settle(file, total, settings);
  return dataset;
}

async function readRecords(file: string, bad: BadRecords) {
  const hash = createHash('sha256');
  const records: Placed[] = [];
  let total = 0;
  for await (const { text, line } of textBlocks(file)) {
    hash.update(text);
    for (const [offset, content] of text.split('\n').entries()) {
      if (content.trim() === '') continue;
      total++;
      const where = `${file}:${line + offset}`;
      const record = parseRecord(content);
      if (typeof record === 'string') bad.add(where, record);
      else records.push({ where, record });
    }
  }
  return { records, total, sha256: hash.digest('hex') };
}

/** What keeps a record from standing beside the first one; undefined when nothing does. */
function differs(record: JsonRecord, first: JsonRecord): string | undefined {
  if ((record.label === undefined) !== (first.label === undefined))
    return first.label === undefined ? 'has a label, the first has none' : 'has no label';
  if (typeof record.label !== typeof first.label) return 'has a label of another kind than the first';
  if (record.kind !== 'arrays' || first.kind !== 'arrays')
    return (record.kind === 'arrays') === (first.kind === 'arrays')
      ? undefined
      : 'holds arrays, or the first does';
  const [own, wanted] = [shapesOf(record.arrays), shapesOf(first.arrays)];
  return own === wanted ? undefined : `holds ${own}, the first ${wanted}`;
}

function shapesOf(arrays: Readonly<Record<string, NumberArray>>): string {
  const shapes = Object.entries(arrays).map(([name, { shape }]) => `${name} [${shape.join(', ')}]`);
  return shapes.toSorted().join(', ');
}

function stackedArrays(
  source: { name: string; sha256: string },
  records: readonly Placed[],
  { seed = 0 }: DataSettings,
): Dataset {
  const rows = records.flatMap(({ record }) => (record.kind === 'arrays' ? [record.arrays] : []));
  const names = Object.keys(rows[0] ?? {});
  const arrays = Object.fromEntries(
    names.map((name) => [name, stacked(rows.map((row) => row[name] as NumberArray))]),
  );
  const { labels, targets } = classesOf(records);
  const columns: Columns = { arrays, ...(labels ? { labels } : {}) };
  return arrayDataset({ ...source, ...(targets ? { targets } : {}) }, columns, undefined, seed);
}

/** Whole numbers everywhere make an integer array. */
function stacked(rows: readonly NumberArray[]): Tensor {
  const dims = [rows.length, ...(rows[0]?.shape ?? [])];
  const whole = rows.every(({ values }) =>
    values.every((value) => Number.isInteger(value) && Math.abs(value) < 2 ** 31),
  );
  const values = rows.flatMap((row) => row.values);
  return whole
    ? { dtype: 'int32', dims, data: Int32Array.from(values) }
    : { dtype: 'float32', dims, data: Float32Array.from(values) };
}

async function tokenExamples(
  source: { name: string; sha256: string },
  records: readonly Placed[],
  bad: BadRecords,
  settings: DataSettings,
): Promise<Dataset> {
  const hasText = records.some(({ record }) => record.kind === 'text');
  const tokenizer = hasText ? await requiredTokenizer(settings, source.name) : undefined;
  const labelled = records[0]?.record.label !== undefined;
  const encoded = records.flatMap(({ where, record }) => {
    const ids = idsOf(record, labelled, tokenizer);
    if (!ids.includes(-1)) return [{ record, ids }];
    bad.add(where, 'has characters that the vocabulary lacks');
    return [];
  });
  const length = settings.length ?? DEFAULT_LENGTH;
  const recipe = { tokenizer: tokenizer?.sha256, length };
  if (labelled) return paddedTexts(source, encoded, tokenizer?.padding ?? 0, length, settings, recipe);
  const run = new TokenRun();
  const between = (tokenizer?.encode('\n') ?? []).filter((id) => id !== -1);
  for (const { ids } of encoded) {
    run.append(ids);
    run.append(between);
  }
  return windowDataset({ ...source, recipe }, run.tokens(), length);
}

function idsOf(record: JsonRecord, whole: boolean, tokenizer: Tokenizer | undefined): readonly number[] {
  if (record.kind === 'tokens') return record.tokens;
  if (record.kind !== 'text' || tokenizer === undefined) return [];
  return whole ? tokenizer.encodeWhole(record.text) : tokenizer.encode(record.text);
}

function paddedTexts(
  source: { name: string; sha256: string },
  texts: readonly { record: JsonRecord; ids: readonly number[] }[],
  padding: number,
  length: number,
  { seed = 0 }: DataSettings,
  recipe: Record<string, unknown>,
): Dataset {
  const dims = [texts.length, length];
  const tokens = new Int32Array(texts.length * length).fill(padding);
  const mask = new Int32Array(texts.length * length);
  for (const [row, { ids }] of texts.entries()) {
    const kept = ids.slice(0, length);
    tokens.set(kept, row * length);
    mask.fill(1, row * length, row * length + kept.length);
  }
  const { labels, targets } = classesOf(texts);
  // Without padding, models that take no mask can be fed too.
  const padded = mask.includes(0);
  const fields: Field[] = [
    { name: 'tokens', role: 'tokens', dtype: 'int32', shape: [length] },
    ...(padded ? [{ name: 'mask', role: 'mask', dtype: 'int32', shape: [length] } as const] : []),
  ];
  const columns: Columns = {
    arrays: {
      tokens: { dtype: 'int32', dims, data: tokens },
      ...(padded ? { mask: { dtype: 'int32', dims, data: mask } } : {}),
    },
    ...(labels ? { labels } : {}),
  };
  return {
    ...source,
    fields,
    ...(targets ? { targets } : {}),
    ...splitColumns(columns, seed),
    recipe: { ...recipe, splitSeed: seed },
  };
}

/** Numbers are classes as they stand, names in alphabetical order. */
function classesOf(records: readonly { record: JsonRecord }[]): { labels?: Int32Array; targets?: Targets } {
  const given = records.map(({ record }) => record.label);
  if (given[0] === undefined) return {};
  if (typeof given[0] === 'number') {
    const labels = Int32Array.from(given as number[]);
    const count = labels.reduce((a, b) => Math.max(a, b), 0) + 1;
    return { labels, targets: { kind: 'class', names: Array.from({ length: count }, (_, i) => String(i)) } };
  }
  const names = [...new Set(given as string[])].toSorted();
  return {
    labels: Int32Array.from(given as string[], (label) => names.indexOf(label)),
    targets: { kind: 'class', names },
  };
}
