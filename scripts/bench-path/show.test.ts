/** What readers are told of results that are not whole: of some methods fewer seeds were measured, of others none. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type MethodName, methods } from './methods.ts';
import { type BenchModel, benchModels } from './models.ts';
import type { Result } from './results.ts';
import { documentOf, textOf, writeDocument } from './show.ts';

const model = benchModels['shakespeare-llama'] as BenchModel;

function result(method: MethodName, seed: number): Result {
  const measured = (reachable: number, value: number) => ({
    reachable,
    flops: reachable,
    params: reachable,
    value,
    low: value - 0.1,
    high: value + 0.1,
  });
  const levels = [measured(1, 5), measured(0.5, 6 + seed), measured(0.1, 12 + seed)];
  return { model: 'm', method, seed, fingerprint: '', samples: 9, levels, epochs: {}, seconds: 1 };
}

const named = (chosen: readonly MethodName[], ...results: Result[]) =>
  documentOf('m', model, chosen, results);

test('a mean of fewer seeds than others says of how many', () => {
  const uneven = named(['random', 'ours'], result('random', 0), result('ours', 0), result('ours', 1));
  const text = textOf(uneven, model, 'text');
  expect(text).toContain('mean of 2 seeds, or as many as in brackets,');
  expect(text).toMatch(/\n50 .* 6\.000 \(1\) +6\.500 ±0\.707\n/);
  const even = named(['random', 'ours'], ...[0, 1].flatMap((s) => [result('random', s), result('ours', s)]));
  expect(textOf(even, model, 'text')).toContain('mean of 2 seeds ±');
  expect(textOf(even, model, 'text')).not.toContain('(2)');
});

test('a seed that is measured in part takes nothing from what the others cost', () => {
  const whole = { ...result('ours', 0), epochs: { teacher: 0.1, search: 0.2 } };
  const costs = (...results: Result[]) => named(['ours'], ...results).epochs.ours;
  expect(costs(whole, result('ours', 1))).toEqual(costs(whole));
  expect(costs(result('ours', 1), whole)).toEqual(costs(whole));
  expect(costs(result('ours', 1))).toBeUndefined();
});

test('a method has one colour in all plots and none has that of another; logarithms have round ticks', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bench-show-'));
  const drawn = async (...chosen: MethodName[]) => {
    await writeDocument(folder, named(chosen, ...chosen.map((method) => result(method, 0))), model);
    return readFile(join(folder, 'figures', 'm.svg'), 'utf8');
  };
  try {
    const all = lineColours(await drawn(...(Object.keys(methods) as MethodName[])));
    expect(new Set(all).size).toBe(Object.keys(methods).length);
    const two = await drawn('random', 'ours');
    expect(lineColours(two)).toEqual([all[0], all[Object.keys(methods).indexOf('ours')]]);
    for (const tick of [5, 6, 8, 10, 12]) expect(two).toContain(`>${tick}</text>`);
  } finally {
    await rm(folder, { recursive: true });
  }
});

/** In the order in which lines are drawn, without the marks on them and the legend's. */
function lineColours(svg: string): (string | undefined)[] {
  const lines = svg.matchAll(
    /<path d="M[\d.]+ [\d.]+(?:L[\d. ]+){2}" fill="none"[^>]* stroke="(#[0-9a-f]{6})"/g,
  );
  return [...lines].map(([, colour]) => colour);
}
