/** What a report needs beyond the manifest: kept beside it as `report.json`, so that the page can be made again. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeDurably } from '../../schema/artifact/write.ts';
import { SppError } from '../../schema/errors.ts';

const REPORT_DATA_FILE = 'report.json';

const reportDataSchema = z.strictObject({
  formatVersion: z.literal(1),
  /** Steps of the search; entry times count in them. */
  steps: z.int().positive(),
  /** By pair, ascending; null for units that never entered the support. */
  entries: z.array(z.array(z.number().nullable())),
  /** What the run has to say: levels dropped, micro-batches halved. */
  notes: z.array(z.string()),
  /** Time of each stage, and its work in epochs of the dense model's training. */
  cost: z.array(z.strictObject({ stage: z.string(), seconds: z.number(), epochs: z.number() })),
  /** Other ways of pruning at equal FLOPs, where they were measured. */
  baselines: z.array(
    z.strictObject({
      name: z.string(),
      /** One of those that levels are measured by; the main one where absent. */
      metric: z.string().optional(),
      points: z.array(
        z.strictObject({
          relativeFlops: z.number(),
          relativeParams: z.number().optional(),
          value: z.number(),
          /** Of one measurement, by its test examples, or over seeds where that is wider. */
          low: z.number().optional(),
          high: z.number().optional(),
        }),
      ),
    }),
  ),
});
export type ReportData = z.infer<typeof reportDataSchema>;

export async function writeReportData(directory: string, data: ReportData): Promise<void> {
  await writeDurably(directory, REPORT_DATA_FILE, new TextEncoder().encode(`${JSON.stringify(data)}\n`));
}

/** Undefined for artifacts that have none. @throws `bad-artifact` when it is damaged */
export async function readReportData(directory: string): Promise<ReportData | undefined> {
  const path = join(directory, REPORT_DATA_FILE);
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return reportDataSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new SppError('bad-artifact', `${path} is damaged.`, { cause, hint: 'Delete it, or build again.' });
  }
}
