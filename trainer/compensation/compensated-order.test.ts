import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { prepareModel } from '../pairs/prepare.ts';
import { rotationTensors } from '../rotation/rotate-pairs.ts';
import { orderTensors } from './compensated-order.ts';

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
