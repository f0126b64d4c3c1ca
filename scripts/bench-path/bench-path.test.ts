import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';

const script = new URL('../bench-path.ts', import.meta.url).pathname;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bench-path-'));
});
afterAll(() => rm(folder, { recursive: true }));

function bench(...flags: string[]) {
  const always = ['--model', 'digits', '--samples', '64', '--grid', '50', '--seeds', '2'];
  const places = ['--work', folder, '--cache', join(folder, 'cache'), '--threads', '1'];
  return promisify(execFile)(process.execPath, [script, ...always, ...places, ...flags]);
}

test('processes measure apart into one cache, and a report is made of what it has', async () => {
  await Promise.all([
    bench('--methods', 'random', '--only-seeds', '0'),
    bench('--methods', 'magnitude', '--only-seeds', '1'),
  ]);
  const kept = (await readdir(join(folder, 'cache'))).toSorted();
  expect(kept).toEqual(['digits.dense.0.json', 'digits.magnitude.1.json', 'digits.random.0.json']);
  const { stdout, stderr } = await bench('--methods', 'random,magnitude,fisher', '--report-only');
  expect(stdout).toMatch(/reachable % {2}FLOPs % {2}params % +random +magnitude\n/);
  expect(stdout).toContain('test examples, one seed');
  expect(stderr).toContain('not measured: digits by random, seed 1');
  expect(stderr).toContain('not measured: digits by fisher, seed 0');
});

test('levels that are made apart are kept one by one only until all are there', async () => {
  const cache = join(folder, 'apart');
  const { stdout } = await bench(
    ...['--methods', 'tuned-each', '--only-seeds', '0', '--steps', '10', '--recover', '10'],
    ...['--cache', cache],
  );
  expect(stdout).toContain('single, same budget');
  const kept = (await readdir(cache)).filter((name) => name.endsWith('.json')).toSorted();
  expect(kept).toEqual(['digits.dense.0.json', 'digits.tuned-each.0.json']);
});

test('processes share the levels that are made apart, and the last one joins them', async () => {
  const cache = join(folder, 'shared');
  const level = (percent: string) =>
    bench(
      ...['--methods', 'tuned-each', '--only-seeds', '0', '--steps', '10', '--recover', '10'],
      ...['--grid', '50,30', '--only-levels', percent, '--cache', cache],
    );
  const kept = async () => (await readdir(cache)).filter((name) => name.includes('tuned')).toSorted();
  await level('30');
  expect(await kept()).toEqual(['digits.tuned-each@30.0.json']);
  const { stdout } = await level('50');
  expect(await kept()).toEqual(['digits.tuned-each.0.json']);
  expect(stdout).toMatch(/^30 +/m);
});

test('what it cannot take is refused before anything is computed', async () => {
  await expect(bench('--grid', '0')).rejects.toMatchObject({ code: 2 });
  await expect(bench('--only-seeds', 'x')).rejects.toMatchObject({ code: 2 });
  await expect(bench('--only-levels', '30')).rejects.toMatchObject({ code: 2 });
  await expect(bench('--methods', 'magic')).rejects.toMatchObject({ code: 2 });
});
