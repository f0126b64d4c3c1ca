import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { paddedEncoder } from '../../test/support/padded-encoder.ts';
import { prepareModel, preparePairs, type TracedModel } from '../pairs/prepare.ts';
import { inspection, inspectionText } from './inspect.ts';
import { dotPicture, htmlPicture } from './picture.ts';

const digits: Promise<TracedModel> = prepareModel(readFileSync('examples/digits/digits.onnx'), 'digits.onnx');

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
  expect(text.split('\n')[1]).toMatch(/^layer0\.query-key +query-key +4 +16 +71\.2 +520 +5\.1 %$/);
  expect(text).toMatch(/Left alone: 2\n {2}\S+: a convolution/);
  expect(text).toMatch(/reaches 99\.\d % of 22\.3 MFLOPs and 96\.\d % of 205067 parameters/);
});

test('people are told what FLOPs are counted for where the file leaves lengths open, and only there', async () => {
  expect(inspectionText(await digits)).not.toContain('FLOPs are those of');
  expect(inspectionText(await preparePairs(paddedEncoder(), 'built'))).toContain(
    "FLOPs are those of input_ids [1, 7], attention_mask [1, 7]; build-path counts those of the data's examples.",
  );
});

test('grouped heads are shown with their key-value heads', async () => {
  const model = await digits;
  const [pair] = model.pairs;
  if (!pair) throw new Error('no pair');
  const grouped = { ...model, pairs: [{ ...pair, kvHeads: 2 }] };
  expect(inspection(grouped).pairs[0]).toMatchObject({ heads: 4, kvHeads: 2 });
  expect(inspectionText(grouped)).toContain('4 (2 kv)');
});

test('what is left alone for the same reason stands on one line, and is counted', async () => {
  const alone = Array.from({ length: 6 }, (_, i) => ({ name: `conv${i}`, reason: 'is a convolution' }));
  const text = inspectionText({ ...(await digits), leftAlone: alone });
  expect(text).toContain('Left alone: 6\n  conv0, conv1, conv2, conv3 and 2 more: is a convolution');
});

test('the picture draws every linear once, with arrows along the layers and none that others imply', async () => {
  const model = await digits;
  const dot = dotPicture(model);
  const arrows = [...dot.matchAll(/^ {2}"(.*)" -> "(.*)";$/gm)].map(([, from, to]) => [from, to]);
  const idOf = (label: string) => new RegExp(`^ {2}"(.*)" \\[label="${label}`, 'm').exec(dot)?.[1];
  expect(dot.match(/fillcolor/g)).toHaveLength(4 * 6 + 2 + 2);
  const [first, second, query] = ['layer0.mlp: first', 'layer0.mlp: second', 'layer1.query-key: query'].map(
    idOf,
  );
  expect(arrows).toContainEqual([first, second]);
  expect(arrows).toContainEqual([second, query]);
  expect(arrows).not.toContainEqual([first, query]);
});

test('the page holds picture and table and asks for nothing from elsewhere', async () => {
  const page = await htmlPicture('a <b>', 'table & more', await digits);
  expect(page).toContain('a &lt;b&gt;');
  expect(page).toContain('table &amp; more');
  expect(page).toMatch(/<svg[\s\S]*layer3\.mlp: second[\s\S]*<\/svg>/);
  expect(page).not.toMatch(/<script|src=|href="http/);
});
