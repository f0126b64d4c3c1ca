import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serialize } from 'node:v8';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { Checkpoint, float64Array } from './checkpoint.ts';

let folder: string;
let checkpoint: Checkpoint;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'checkpoint-test-'));
  checkpoint = new Checkpoint(folder);
  await checkpoint.begin({
    formatVersion: 2,
    fingerprint: 'f',
    searchFingerprint: 's',
    workers: 1,
    workerThreads: 1,
  });
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const fileOf = (stage: string) => join(folder, '.checkpoint', stage);

test('numbers come back as they were, bit for bit', async () => {
  const values = Float64Array.of(0.1, -0, Number.POSITIVE_INFINITY, 5e-324);
  await checkpoint.write('numbers', values);
  expect(await checkpoint.read('numbers', float64Array)).toEqual(values);
  expect(await checkpoint.read('nothing', float64Array)).toBeUndefined();
});

test('what is damaged, of another version or not to be read is said with the way out', async () => {
  writeFileSync(fileOf('half'), serialize([1, 2, 3]).subarray(0, 4));
  writeFileSync(fileOf('other'), serialize({ was: 'an array' }));
  mkdirSync(fileOf('folder'));
  const refused = (stage: string) => expect(checkpoint.read(stage, z.array(z.number()))).rejects;
  const anew = { code: 'bad-checkpoint', hint: 'Start over with --force.' };
  await refused('half').toMatchObject({ ...anew, message: expect.stringContaining(fileOf('half')) });
  await refused('other').toMatchObject(anew);
  await refused('folder').toMatchObject({
    code: 'bad-checkpoint',
    message: expect.stringContaining('EISDIR'),
    hint: 'Check its permissions.',
  });
});

test('a run that changes what comes behind the search keeps its stages alone', async () => {
  await checkpoint.write('search', 1);
  await checkpoint.write('qualities', 2);
  const run = await checkpoint.run();
  await checkpoint.keepOnly(['search'], { ...run!, fingerprint: 'g' });
  expect(await checkpoint.read('search', z.number())).toBe(1);
  expect(await checkpoint.read('qualities', z.number())).toBeUndefined();
  expect(await checkpoint.run()).toMatchObject({ fingerprint: 'g', searchFingerprint: 's' });
});
