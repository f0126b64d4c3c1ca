import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { paddedEncoder, paddedTexts, TOKENS } from '../../test/support/padded-encoder.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { HEADS, INNER, WIDTH } from '../pairs/layout-blocks.case.ts';
import { sizeAt } from '../search/allocate.ts';
import { preparedFor } from './prepared-for.ts';

const folder = mkdtempSync(join(tmpdir(), 'prepared-for-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('units cost what they do in an example of the data, whatever length the file leaves open', async () => {
  const path = join(folder, 'encoder.onnx');
  writeFileSync(path, writeOnnx(paddedEncoder()));
  const model = await preparedFor(path, paddedTexts(64));
  const linear = (inputs: number, outputs: number) => 2 * TOKENS * inputs * outputs;
  const betweenTokens = 2 * HEADS * TOKENS * TOKENS;
  const flopsOf = Object.fromEntries(model.pairs.map(({ kind, flopsPerUnit }) => [kind, flopsPerUnit]));
  expect(flopsOf).toEqual({
    'query-key': 2 * linear(WIDTH, HEADS) + betweenTokens,
    'value-projection': 2 * linear(WIDTH, HEADS) + betweenTokens,
    sequential: 2 * linear(WIDTH, 1),
  });
  const layer = 4 * linear(WIDTH, INNER) + 2 * (INNER / HEADS) * betweenTokens + 2 * linear(WIDTH, 32);
  expect(model.flops).toBe(2 * layer);
  expect(
    sizeAt(
      model.pairs,
      model.pairs.map(() => 0),
      model,
    ).flops,
  ).toBe(0);
});
