import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { PreparedModel } from '../pairs/pair.ts';
import { prepareModel } from '../pairs/prepare.ts';
import { inspection, inspectionText } from './inspect.ts';

const digits: Promise<PreparedModel> = prepareModel(
  readFileSync('examples/digits/digits.onnx'),
  'digits.onnx',
);

test('the machine-readable form holds exactly what scripts rely on', async () => {
  const { pairs, leftAlone } = inspection(await digits);
  expect(pairs[0]).toEqual({
    name: 'layer0.query-key',
    kind: 'query-key',
    heads: 4,
    units: 16,
    flopsPerUnit: 71200,
    paramsPerUnit: 520,
  });
  expect(pairs).toHaveLength(12);
  expect(leftAlone).toHaveLength(2);
});

test('people see the table, what was left alone and how much a path reaches', async () => {
  const text = inspectionText(await digits);
  expect(text.split('\n')[1]).toMatch(/^layer0\.query-key +query-key +4 +16 +71\.2 +520$/);
  expect(text).toMatch(/Left alone:\n {2}\S+: a convolution/);
  expect(text).toMatch(/reaches 99\.\d % of 22\.3 MFLOPs and 96\.\d % of 205067 parameters/);
});

test('grouped heads are shown with their key-value heads', async () => {
  const model = await digits;
  const [pair] = model.pairs;
  if (!pair) throw new Error('no pair');
  const grouped = { ...model, pairs: [{ ...pair, kvHeads: 2 }] };
  expect(inspection(grouped).pairs[0]).toMatchObject({ heads: 4, kvHeads: 2 });
  expect(inspectionText(grouped)).toContain('4 (2 kv)');
});
