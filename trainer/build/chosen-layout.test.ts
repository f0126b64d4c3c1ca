import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { prepareModel } from '../pairs/prepare.ts';
import { computeOn, computeThreads } from '../runtime/compute.ts';
import { chosenLayout } from './chosen-layout.ts';

const digits = () =>
  prepareModel(readFileSync(new URL('../../examples/digits/digits.onnx', import.meta.url)), 'digits');

async function chosen(options: Parameters<typeof chosenLayout>[1]) {
  const notes: string[] = [];
  const layout = await chosenLayout(await digits(), options, { note: (message) => notes.push(message) });
  return { layout, notes };
}

test('what is asked for is not measured', async () => {
  expect(await chosen({ workers: 3, backend: 'auto' })).toEqual({
    layout: { workers: 3, threads: 1 },
    notes: [],
  });
  expect((await chosen({ workers: 1, workerThreads: 2, backend: 'auto' })).layout.threads).toBe(2);
  const cores = computeThreads();
  expect(await chosen({ workerThreads: 1, backend: 'auto' })).toEqual({
    layout: { workers: Math.min(8, cores), threads: 1 },
    notes: [],
  });
  expect((await chosen({ workerThreads: cores + 1, backend: 'auto' })).layout).toEqual({
    workers: 1,
    threads: cores + 1,
  });
});

test('unasked, the model is tried in each way, and the figures are said', async () => {
  const before = computeThreads();
  computeOn({ threads: 2 });
  try {
    const { layout, notes } = await chosen({ backend: 'onnxruntime' });
    expect([
      { workers: 2, threads: 1 },
      { workers: 1, threads: 2 },
    ]).toContainEqual(layout);
    expect(notes).toEqual([
      expect.stringMatching(
        /2 workers of 1 thread \d+\.\d and \d+\.\d ms, 1 worker of 2 threads \d+\.\d and \d+\.\d ms: .* it is$/,
      ),
    ]);
  } finally {
    computeOn({ threads: before });
  }
});
