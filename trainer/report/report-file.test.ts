import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readReportData, writeReportData } from './report-file.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'report-file-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('an artifact whose run kept nothing has none, any other gives back what it kept', async () => {
  expect(await readReportData(folder)).toBeUndefined();
  const data = { formatVersion: 1, steps: 10, entries: [[0.5, null]], notes: [], cost: [], baselines: [] };
  await writeReportData(folder, { ...data, formatVersion: 1 });
  expect(await readReportData(folder)).toEqual(data);
});

test('what is there and cannot be read is no artifact without one', async () => {
  const file = join(folder, 'report.json');
  await writeFile(file, '{}');
  await expect(readReportData(folder)).rejects.toMatchObject({
    code: 'bad-artifact',
    message: `${file} is damaged.`,
  });
  await rm(file);
  await mkdir(file);
  await expect(readReportData(folder)).rejects.toMatchObject({
    code: 'bad-artifact',
    message: expect.stringContaining('cannot be read: EISDIR'),
  });
});
