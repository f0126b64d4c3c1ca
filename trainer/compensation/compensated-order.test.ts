import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { LinearMap, Pair } from '../pairs/pair.ts';
import { prepareModel } from '../pairs/prepare.ts';
import { rotationTensors } from '../rotation/rotate-pairs.ts';
import type { Moments } from '../statistics/activation-moments.ts';
import { compensateLevel } from './compensate-level.ts';
import { compensatedOrder, orderTensors } from './compensated-order.ts';

const DIGITS = fileURLToPath(new URL('../../examples/digits/digits.onnx', import.meta.url));

test('moments are taken where they are read: of hidden units few enough to be ordered, and of what rotation turns', async () => {
  const { pairs } = await prepareModel(readFileSync(DIGITS), 'digits');
  const hidden = pairs.filter(({ kind }) => kind === 'sequential');
  expect(orderTensors(pairs)).toEqual(hidden.map(({ consumers }) => consumers[0]?.input));
  expect(orderTensors(hidden.map((pair) => ({ ...pair, units: 10_000 })))).toEqual([]);
  expect(rotationTensors(hidden)).toEqual([]);
  expect(rotationTensors(pairs)).toHaveLength(3 * hidden.length);
  expect(rotationTensors(pairs.map(({ rotation: _, ...pair }) => pair))).toEqual([]);
});

test('units that no example has reached stay in the order of the search, and their matrix as it is', async () => {
  const { graph, pairs } = await prepareModel(readFileSync(DIGITS), 'digits');
  const [pair] = pairs.filter(({ kind }) => kind === 'sequential') as [Pair];
  const [{ input }] = pair.consumers as [LinearMap];
  const size = pair.units;
  const unseen: Moments = {
    size,
    count: 0,
    sum: new Float64Array(size),
    gram: new Float64Array(size * size),
  };
  const searched = Array.from({ length: size }, (_, i) => size - 1 - i);
  const moments = new Map([[input, unseen]]);
  expect(await compensatedOrder({ graph, pairs: [pair] }, moments, [searched])).toEqual([searched]);
  const { initializers } = compensateLevel(graph, [pair], moments, [searched.slice(0, 3)], 1e-3);
  const { weight } = pair.consumers[0] as LinearMap;
  expect(initializers.get(weight.tensor)).toEqual(graph.initializers.get(weight.tensor));
});
