/** What a report needs beyond the manifest, kept beside it as `report.json`, so that the page can be made again. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeDurably } from '../../schema/artifact/write.ts';
import { SppError } from '../../schema/errors.ts';
import { type ReportData, reportDataSchema } from './report-data.ts';

const REPORT_DATA_FILE = 'report.json';

/** Writes `report.json`, over one that is there. @throws `not-written` */
export async function writeReportData(directory: string, data: ReportData): Promise<void> {
  await writeDurably(directory, REPORT_DATA_FILE, new TextEncoder().encode(`${JSON.stringify(data)}\n`));
}

/** Undefined for artifacts that have none. @throws `bad-artifact` when it is damaged or cannot be read */
export async function readReportData(directory: string): Promise<ReportData | undefined> {
  const path = join(directory, REPORT_DATA_FILE);
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined;
    // A page without its path would be written over the one that has it.
    throw new SppError('bad-artifact', `${path} cannot be read: ${cause.message}.`, {
      hint: 'Check its permissions.',
      cause,
    });
  });
  if (text === undefined) return undefined;
  try {
    return reportDataSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new SppError('bad-artifact', `${path} is damaged.`, { cause, hint: 'Delete it, or build again.' });
  }
}
