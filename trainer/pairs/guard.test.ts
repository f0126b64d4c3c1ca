import { expect, test } from 'vitest';
import { attentionLayouts } from './attention-layouts.case.ts';
import { cuttingError, randomKeep, wrongPairs } from './guard.ts';
import { preparePairs, type TracedModel } from './prepare.ts';

async function attentionAndMlp(): Promise<TracedModel> {
  const graph = attentionLayouts[0]?.graph();
  if (!graph) throw new Error('no layout');
  return preparePairs(graph, 'layout');
}

test('pairs that are right stay', async () => {
  const model = await attentionAndMlp();
  expect(await wrongPairs(model, model.sizes.slice(0, 1))).toEqual([]);
});

test('a pair whose cut does not fit its mask is found among the others', async () => {
  const model = await attentionAndMlp();
  // Units counted as the wrong neighbours: the graph runs, but other units go than those that are masked.
  const pairs = model.pairs.map((pair, p) =>
    p === 1
      ? { ...pair, unitAxes: pair.unitAxes.map((axis) => ({ ...axis, outer: 1, inner: axis.outer })) }
      : pair,
  );
  expect(await wrongPairs({ ...model, pairs }, model.sizes.slice(0, 1))).toEqual([1]);
});

test('a cut that does not run is infinitely wrong', async () => {
  const model = await attentionAndMlp();
  const [size] = model.sizes;
  if (!size) throw new Error('not traced');
  const keep = randomKeep(model.pairs, 1, 0);
  expect(await cuttingError({ ...model, shapeConstants: [] }, keep, size, 0)).toBe(Infinity);
});
