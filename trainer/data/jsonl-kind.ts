/** What each kind of JSON Lines record has in common. */
import type { BadRecords } from './bad-records.ts';
import type { Dataset } from './dataset.ts';
import type { JsonRecord } from './jsonl-record.ts';

export interface PlacedRecord {
  /** File and line. */
  readonly where: string;
  readonly record: JsonRecord;
}

/** Turns records of one kind into a data set. */
export interface RecordKind {
  /** What keeps the record from standing beside the first one; undefined when nothing does. */
  differs(record: JsonRecord): string | undefined;
  /** Takes records that do not differ, and reports those that are bad in themselves. */
  add(records: readonly PlacedRecord[], bad: BadRecords): Promise<void>;
  /** No more records are wanted. */
  full?(): boolean;
  /** @throws `bad-data` when there are too few */
  finish(source: Pick<Dataset, 'name' | 'sha256'>, bad: BadRecords): Dataset;
}

/** A label, or none, as the first record has it; undefined when it is so. */
export function labelDiffers(record: JsonRecord, first: JsonRecord): string | undefined {
  if ((record.label === undefined) !== (first.label === undefined))
    return first.label === undefined ? 'has a label, the first has none' : 'has no label';
  return typeof record.label === typeof first.label
    ? undefined
    : 'has a label of another kind than the first';
}
