import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fingerprintOf, type Result, readResult, writeResult } from './results.ts';

let cache: string;
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'bench-results-'));
});
afterEach(() => rm(cache, { recursive: true }));

const result: Result = {
  model: 'digits',
  method: 'ours',
  seed: 1,
  fingerprint: fingerprintOf(['a']),
  samples: 10,
  levels: [{ reachable: 0.5, flops: 0.5, params: 0.6, value: 90, low: 80, high: 95 }],
  epochs: { search: 0.2 },
  seconds: 3,
};

test('a result is found by what decides it, and by nothing else', async () => {
  await writeResult(cache, result);
  expect(await readResult(cache, result)).toEqual(result);
  expect(await readResult(cache, { ...result, fingerprint: fingerprintOf(['b']) })).toBeUndefined();
  expect(await readResult(cache, { ...result, seed: 2 })).toBeUndefined();
  expect(await readResult(join(cache, 'nowhere'), result)).toBeUndefined();
});

test('many writers leave whole files only', async () => {
  await Promise.all(Array.from({ length: 6 }, (_, seed) => writeResult(cache, { ...result, seed })));
  expect((await readdir(cache)).every((name) => name.endsWith('.json'))).toBe(true);
  expect(await readResult(cache, { ...result, seed: 5 })).toMatchObject({ seed: 5 });
});

test('a damaged file is named', async () => {
  await writeFile(join(cache, 'digits.ours.1.json'), '{"model":');
  await expect(readResult(cache, result)).rejects.toMatchObject({ code: 'bad-data' });
});
