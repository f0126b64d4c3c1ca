import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readBaselines } from './baselines.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'baselines-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(content: unknown): Promise<string> {
  const path = join(folder, 'bench.json');
  await writeFile(path, JSON.stringify(content));
  return path;
}

test("come in the artifact's own metric and unit, with the wider of interval and spread", async () => {
  const cell = (mean: number, deviation: number) => ({ mean, halfInterval: 0.5, deviation, seeds: 3 });
  const bench = {
    model: 'digits',
    measured: { metric: 'accuracy', per: 100 },
    labels: { random: 'random', ours: 'ours', unmeasured: 'none' },
    rows: [{ flops: 0.5, params: 0.6, cells: { random: cell(40, 2), ours: cell(97, 0) } }],
  };
  const [random, ours, ...rest] = await readBaselines(await file(bench), ['accuracy']);
  expect(rest).toEqual([]);
  expect(random).toMatchObject({ name: 'random', metric: 'accuracy' });
  expect(random?.points[0]).toMatchObject({ relativeFlops: 0.5, relativeParams: 0.6, value: 0.4 });
  expect(random?.points[0]?.low).toBeCloseTo(0.36, 9);
  expect(ours?.points[0]?.high).toBeCloseTo(0.975, 9);
});

test('a file of something else is refused by name', async () => {
  await expect(readBaselines(await file({ rows: [] }), ['accuracy'])).rejects.toMatchObject({
    code: 'bad-data',
  });
  await expect(readBaselines(join(folder, 'nowhere.json'), ['accuracy'])).rejects.toMatchObject({
    code: 'bad-data',
  });
});

test('results by a metric that the levels do not have are refused with both', async () => {
  const bench = { model: 'llama', measured: { metric: 'perplexity', per: 1 }, labels: {}, rows: [] };
  await expect(readBaselines(await file(bench), ['accuracy'])).rejects.toMatchObject({
    code: 'bad-data',
    message: expect.stringMatching(/bench\.json .*llama.*perplexity.*accuracy/),
  });
});
