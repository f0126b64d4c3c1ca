/** A JSON Lines file, read line by line; the first record says of what kind all of them are. */
import { createHash } from 'node:crypto';
import { SppError } from '../../schema/errors.ts';
import { BadRecords } from './bad-records.ts';
import type { DataSettings } from './data-settings.ts';
import type { Dataset } from './dataset.ts';
import { arrayRecords } from './jsonl-arrays.ts';
import { exampleRecords } from './jsonl-examples.ts';
import type { PlacedRecord, RecordKind } from './jsonl-kind.ts';
import { type JsonRecord, parseRecord } from './jsonl-record.ts';
import { windowRecords } from './jsonl-windows.ts';
import { textBlocks } from './text-dataset.ts';

/** @throws `bad-data`; `usage` when records hold text and no tokenizer was named */
export async function openJsonl(file: string, settings: DataSettings, name: string): Promise<Dataset> {
  const bad = new BadRecords();
  const hash = createHash('sha256');
  let kind: RecordKind | undefined;
  let total = 0;
  for await (const { text, line } of textBlocks(file)) {
    hash.update(text);
    const block: PlacedRecord[] = [];
    for (const [offset, content] of text.split('\n').entries()) {
      if (content.trim() === '' || kind?.full?.()) continue;
      total++;
      const where = `${file}:${line + offset}`;
      const parsed = parseRecord(content);
      if (typeof parsed === 'string') {
        bad.add(where, parsed);
        continue;
      }
      const record = settings.withoutLabels === true ? unlabelled(parsed) : parsed;
      kind ??= await kindOf(record, settings, file, name);
      const difference = kind.differs(record);
      if (difference === undefined) block.push({ where, record });
      else bad.add(where, difference);
    }
    await kind?.add(block, bad);
  }
  if (kind === undefined) {
    bad.settle(file, total, settings);
    throw new SppError('bad-data', `${file} holds no records.`);
  }
  // Too many bad ones say more than the too few good ones that they leave.
  if (bad.tooMany(total, settings)) bad.settle(file, total, settings);
  if (kind.full?.()) settings.note?.(`${file}: the first ${total} records are used, as many as are needed`);
  const dataset = kind.finish({ name, sha256: hash.digest('hex') }, bad);
  bad.settle(file, total, settings);
  return dataset;
}

function unlabelled(record: JsonRecord): JsonRecord {
  if (record.kind === 'arrays') return record;
  const { label: _, ...rest } = record;
  return rest;
}

function kindOf(
  first: JsonRecord,
  settings: DataSettings,
  file: string,
  name: string,
): Promise<RecordKind> | RecordKind {
  if (first.kind === 'arrays') return arrayRecords(first, settings);
  const apart = first.label !== undefined || first.image !== undefined || settings.apart === true;
  return apart ? exampleRecords(first, settings, file, name) : windowRecords(settings, name);
}
